/// A BudgetReservation as text, for another process: `tb1.<fields in hex>.<tag in hex>`, see doors/signed_text.hpp,
/// under BudgetConfig::token_secret. Limits are written by name. Thread safety: plain functions.
#pragma once

#include <string>
#include <string_view>

#include "decisions/held_charges.hpp"
#include "tollgate/budget_config.hpp"

namespace tollgate::inline v0 {

[[nodiscard]] std::string encode_budget_token(const decisions::HeldCharges& held, const BudgetConfig& config);

/// Throws std::invalid_argument with the error in the token, also when it names a limit that `config` does not have.
[[nodiscard]] decisions::HeldCharges decode_budget_token(std::string_view token, const BudgetConfig& config);

}  // namespace tollgate::inline v0
