/* Calls every function of the store once in a sensible order; used where any answer must be survived. */
#pragma once

#include "sample.h"

/* With `must_succeed` each call has to give what it should; without, each has to end in some way. */
void walk_all(struct fixture *f, bool must_succeed);
