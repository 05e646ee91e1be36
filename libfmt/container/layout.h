/* Where things are in the file (spec: 2). */
#ifndef LM_LAYOUT_H
#define LM_LAYOUT_H

#define LM_TAR_BLOCK 512u
#define LM_TAR_HEADER_MAX 1536u  /* with a pax header, for data of 8 GiB and more */
#define LM_TAR_PAX_FROM (UINT64_C(1) << 33)

#define LM_MIMETYPE_MEMBER "mimetype"
#define LM_MIMETYPE "application/vnd.lmodel.v1+tar"
#define LM_SLOT_A_MEMBER "manifest.sqlite"
#define LM_SLOT_B_MEMBER "manifest.backup.sqlite"

/* mimetype: header at 0, data at 512. Slot A: header at 1024, data at 1536, R bytes. Slot B:
 * header at 1536 + R, data at 2048 + R, R bytes. Members follow. */
#define LM_SLOT_A_OFFSET UINT64_C(1536)
#define LM_SLOT_ALIGN 512u
#define LM_SLOT_FOOTER 512u
#define LM_SLOT_LIMIT (UINT64_C(1) << 30) /* bytes of one slot */

/* End-of-archive blocks of tar. */
#define LM_TAR_END 1024u

/* Bytes of one lock each (F_OFD_SETLK). */
#define LM_LOCK_READER 0
#define LM_LOCK_WRITER 1

#endif
