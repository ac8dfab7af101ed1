/// Checks of a BudgetLimiter's configuration. Each throws std::invalid_argument that names the field, its value and its
/// range. The charges of a request are checked where they are read, by decisions/budget_charges.hpp.
/// Thread safety: plain functions.
#pragma once

namespace tollgate::inline v0 {

struct BudgetConfig;
struct CallOptions;
struct TokenUsage;

namespace detail {

void check_config(const BudgetConfig& config);
void check_budget_options(const CallOptions& options);
void check_usage(const TokenUsage& usage);
/// The options of a call with many requests: operation_id must be empty.
void check_budget_options_of_many(const CallOptions& options);

}  // namespace detail
}  // namespace tollgate::inline v0
