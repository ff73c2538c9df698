//! What instances cost.
//!
//! Source: Amazon EC2 User Guide, billing and purchasing options, and billing for interrupted Spot Instances.

/// A second of a started instance is charged for at least this often.
const SECONDS_MIN: u64 = 60;
/// A spot instance that EC2 takes back within this many seconds costs nothing.
const FREE_WHEN_INTERRUPTED: u64 = 3600;

/// What is charged for an instance that ran for so long, at `price` an hour; in the unit of the price.
pub(super) fn charge(price: f64, millis: u64, is_interrupted: bool) -> u64 {
    let seconds = millis.div_ceil(1000).max(SECONDS_MIN);
    if is_interrupted && seconds < FREE_WHEN_INTERRUPTED {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "prices and times are positive and far below 2^52"
    )]
    let amount = (price * seconds as f64 / 3600.0).round() as u64;
    amount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_charged_and_a_minute_at_least() {
        let price = 96_000.0; // m6i.large: 0.096 dollars an hour
        for (millis, is_interrupted, want) in [
            (0, false, 1_600),
            (59_000, false, 1_600),
            (60_000, false, 1_600),
            (60_001, false, 1_627), // 61 s
            (3_600_000, false, 96_000),
            (5_400_000, false, 144_000),
            (3_599_000, true, 0),
            (3_600_000, true, 96_000),
            (7_200_000, true, 192_000),
        ] {
            assert_eq!(
                charge(price, millis, is_interrupted),
                want,
                "{millis} ms, interrupted: {is_interrupted}"
            );
        }
    }
}
