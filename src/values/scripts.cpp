#include "values/scripts.hpp"

#include "script_sources.hpp"

namespace tollgate::inline v0 {

constinit const Script kAdmitScript{"admit", script_sources::kAdmitSource, script_sources::kAdmitSha1};
constinit const Script kAdjustScript{"adjust", script_sources::kAdjustSource, script_sources::kAdjustSha1};
constinit const Script kBudgetScript{"budget", script_sources::kBudgetSource, script_sources::kBudgetSha1};

}  // namespace tollgate::inline v0
