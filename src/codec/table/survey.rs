//! The first pass over a sheet: whether its cells are in order, and which have something that the second pass does not see.
//!
//! A pass of its own, because calamine tells formats or formulas; and of a formula behind its value it tells no value.

use std::io::{Read, Seek};
use std::sync::atomic::{AtomicBool, Ordering};

use calamine::{DataRef, Xlsx};

use super::workbook::broken;
use crate::model::text::Text;
use crate::services::import::TableError;

/// Formulas without a value that are told row by row; where there are more, nobody computed the file.
const MOST_UNCOMPUTED: usize = 10_000;

/// Cells that are read between two looks whether anybody waits for them.
const CELLS_A_LOOK: usize = 1000;

/// A bit for each cell in the order of the sheet: whether it has a value or a formula. At most 16 MiB, since a cell takes
/// four bytes of at most 512 MiB.
pub(super) struct Survey {
    holds: Vec<u64>,
    at: usize,
}

impl Survey {
    /// Goes through a sheet.
    pub fn of<R: Read + Seek>(
        workbook: &mut Xlsx<R>,
        sheet: &str,
        abandoned: &AtomicBool,
    ) -> Result<Survey, TableError> {
        let mut cells = workbook.worksheet_cells_reader(sheet).map_err(|error| broken(&error))?;
        let (mut survey, mut last, mut uncomputed) = (Survey { holds: Vec::new(), at: 0 }, None, 0);
        while let Some(cell) = cells.next_cell_with_formula_metadata().map_err(|error| broken(&error))? {
            survey.go_on(abandoned)?;
            if last.is_some_and(|last| cell.pos <= last) {
                return Err(disordered(cell.pos));
            }
            last = Some(cell.pos);
            let is_empty = cell.value == DataRef::Empty;
            uncomputed += usize::from(is_empty && cell.formula.is_some());
            if uncomputed > MOST_UNCOMPUTED {
                let text = formula_uncomputed();
                return Err(TableError::wrong("formula_uncomputed", text.zh, text.en));
            }
            survey.push(!is_empty || cell.formula.is_some());
        }
        survey.at = 0;
        Ok(survey)
    }

    /// Looks now and then whether anybody still waits for the sheet.
    pub fn go_on(&self, abandoned: &AtomicBool) -> Result<(), TableError> {
        if self.at.is_multiple_of(CELLS_A_LOOK) && abandoned.load(Ordering::Relaxed) {
            return Err(TableError::Io(std::io::ErrorKind::BrokenPipe.into()));
        }
        Ok(())
    }

    fn push(&mut self, holds: bool) {
        if self.at.is_multiple_of(64) {
            self.holds.push(0);
        }
        if let Some(last) = self.holds.last_mut() {
            *last |= u64::from(holds) << (self.at % 64);
        }
        self.at += 1;
    }

    /// Whether the next cell, which the second pass has read as this, lacks what it held.
    pub fn next_is_lost(&mut self, value: &DataRef<'_>) -> bool {
        let holds = self.holds.get(self.at / 64).is_some_and(|bits| bits >> (self.at % 64) & 1 == 1);
        self.at += 1;
        holds && *value == DataRef::Empty
    }
}

pub(super) fn formula_uncomputed() -> Text {
    Text::new(
        "公式没有保存结果：用电子表格软件打开并保存一次，或改为数值",
        "the formula has no stored value: open the file in a spreadsheet and save it once, or write a value",
    )
}

fn disordered((row, column): (u32, u32)) -> TableError {
    let (mut name, mut left) = (String::new(), u64::from(column) + 1);
    while left > 0 {
        left -= 1;
        name.insert(0, char::from(b'A' + u8::try_from(left % 26).unwrap_or(0)));
        left /= 26;
    }
    broken(&format!("cell {name}{} after one to its right or below", u64::from(row) + 1))
}
