//! What is counted by clock periods.

use lakeloop_domain::Micros;

/// One value for each clock period; the newest two are remembered.
#[derive(Debug)]
pub(super) struct Periods<T> {
    every_us: i64,
    newest: i64,
    /// Of an even period and of an odd one.
    values: [T; 2],
}

impl<T: Default> Periods<T> {
    pub(super) fn new(every_us: i64) -> Self {
        Self {
            every_us: every_us.max(1),
            newest: i64::MIN,
            values: Default::default(),
        }
    }

    /// The value of the period that an instant lies in; `None` when it is forgotten.
    pub(super) fn at(&mut self, at: Micros) -> Option<&mut T> {
        let period = at.div_euclid(self.every_us);
        let ahead = period.saturating_sub(self.newest);
        if ahead > 0 {
            let [even, odd] = &mut self.values;
            match (ahead, period.rem_euclid(2)) {
                (1, 0) => *even = T::default(),
                (1, _) => *odd = T::default(),
                _ => self.values = Default::default(),
            }
            self.newest = period;
        }
        if ahead < -1 {
            return None;
        }
        self.values.get_mut(period.rem_euclid(2) as usize)
    }
}
