/* For a copy of OpenZL without the generated file selector_numeric_model.c: its numeric selector,
 * which the float profile does not use, has no model. */
#include "openzl/compress/selectors/ml/selector_numeric_model.h"

GBTModel getGenericNumericGbtModel(FeatureGenerator featureGenerator)
{
	(void)featureGenerator;
	return (GBTModel){ 0 };
}
