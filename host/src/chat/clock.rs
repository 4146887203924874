//! Date and time for templates that name the day: `strftime_now`.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_OF_DAY: u64 = 24 * 60 * 60;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Date and time of day in UTC, so that a conversation reads the same on each machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Seconds since 1970-01-01 00:00 UTC.
    seconds: u64,
}

impl Clock {
    /// The present time.
    pub fn now() -> Self {
        Self::at(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// Time of so many seconds since 1970-01-01 00:00 UTC.
    pub fn at(seconds: u64) -> Self {
        Self { seconds }
    }

    /// Seconds since 1970-01-01 00:00 UTC.
    pub(super) fn seconds(self) -> u64 {
        self.seconds
    }

    /// Year, month (1 to 12) and day (1 to 31) of the Gregorian calendar.
    ///
    /// Source: Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    fn date(self) -> (u64, usize, u64) {
        let days = self.seconds / SECONDS_OF_DAY + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (year_of_era + era * 400 + u64::from(month <= 2), month as usize, day)
    }

    /// Text of the time by a format of C's `strftime`, with the conversions that chat templates use; `None` if it has another.
    pub fn format(self, format: &str) -> Option<String> {
        let (year, month, day) = self.date();
        let (hour, minute, second) = (self.seconds / 3600 % 24, self.seconds / 60 % 60, self.seconds % 60);
        let month_name = MONTHS.get(month.checked_sub(1)?)?;
        let day_name = DAYS.get(((self.seconds / SECONDS_OF_DAY + 4) % 7) as usize)?;
        let (mut out, mut chars) = (String::new(), format.chars());
        while let Some(char) = chars.next() {
            if char != '%' {
                out.push(char);
                continue;
            }
            let mut conversion = chars.next()?;
            let padded = conversion != '-';
            if !padded {
                conversion = chars.next()?;
            }
            let text = match conversion {
                'b' => month_name.get(..3),
                'B' => Some(*month_name),
                'a' => day_name.get(..3),
                'A' => Some(*day_name),
                'p' => Some(if hour < 12 { "AM" } else { "PM" }),
                '%' => Some("%"),
                _ => None,
            };
            if let Some(text) = text {
                out.push_str(text);
                continue;
            }
            let n = match conversion {
                'Y' => year,
                'm' => month as u64,
                'd' => day,
                'H' => hour,
                'I' => (hour + 11) % 12 + 1,
                'M' => minute,
                'S' => second,
                'y' => year % 100,
                _ => return None,
            };
            if padded { write!(out, "{n:02}").ok()? } else { write!(out, "{n}").ok()? }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Python's `datetime.fromtimestamp(seconds, UTC).strftime`.
    #[test]
    fn times_are_those_of_strftime() {
        for (seconds, want) in [
            (0, "Thu Thursday 01 Jan January 1970 70 00:00:00 12 AM 1 1 %"),
            (951_782_399, "Mon Monday 28 Feb February 2000 00 23:59:59 11 PM 28 2 %"),
            (951_782_400, "Tue Tuesday 29 Feb February 2000 00 00:00:00 12 AM 29 2 %"),
            (1_735_689_599, "Tue Tuesday 31 Dec December 2024 24 23:59:59 11 PM 31 12 %"),
            (4_107_542_400, "Mon Monday 01 Mar March 2100 00 00:00:00 12 AM 1 3 %"),
        ] {
            let format = "%a %A %d %b %B %Y %y %H:%M:%S %I %p %-d %-m %%";
            assert_eq!(Clock::at(seconds).format(format).as_deref(), Some(want));
        }
        assert_eq!(Clock::at(0).format("%Q"), None);
        assert_eq!(Clock::at(0).format("%"), None);
    }
}
