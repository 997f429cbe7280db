//! Hosts from comma-separated values: a row of names, then one host a row.

use crate::spec::fault::{At, PoolFileFault};
use crate::spec::inventory::draft::{Draft, FIELDS, Placed};
use crate::spec::inventory::sheet::Sheet;
use crate::spec::keys;

/// What a column is.
enum Column {
    /// The host's name.
    Name,
    /// One of [`FIELDS`].
    Field(&'static str),
    /// A label of this name.
    Label(String),
    /// Said to be wrong already.
    Bad,
}

/// Reads all rows. Lines that begin with `#` are comments; empty ones are skipped.
pub fn read(sheet: &mut Sheet, text: &str) {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(::csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut columns: Option<Vec<Column>> = None;
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(e) => {
                let line = e.position().map_or(0, ::csv::Position::line);
                sheet.fault(PoolFileFault::new(at(line, 1), "", format!("the row cannot be read: {e}")));
                return;
            }
        };
        let line = row.position().map_or(0, ::csv::Position::line);
        match &columns {
            None => {
                columns = heads(sheet, &row, line);
                if columns.is_none() {
                    return;
                }
            }
            Some(columns) => host(sheet, columns, &row, line),
        }
    }
}

fn at(line: u64, column: usize) -> At {
    At { line: usize::try_from(line).unwrap_or(usize::MAX), column }
}

/// The columns by the first row; `None` when hosts cannot be made out by it.
fn heads(sheet: &mut Sheet, row: &::csv::StringRecord, line: u64) -> Option<Vec<Column>> {
    let mut seen: Vec<String> = Vec::new();
    let mut columns = Vec::new();
    for (i, cell) in row.iter().enumerate() {
        let place = at(line, i + 1);
        let plain = cell.to_lowercase().replace(['-', ' '], "_");
        let field = FIELDS.iter().find(|name| **name == plain);
        columns.push(match field {
            _ if seen.contains(&plain) => {
                let what = format!("the column {cell:?} is given twice");
                sheet.fault(PoolFileFault::new(place, "", what).hint("keep one of them"));
                Column::Bad
            }
            _ if plain == "name" => Column::Name,
            Some(field) => Column::Field(field),
            None if crate::model::constraint::is_label_key(cell) => {
                let note = PoolFileFault::new(
                    place,
                    "",
                    format!("the column {cell} becomes the label {cell}=VALUE"),
                );
                let known = FIELDS.iter().copied().chain(["name"]);
                sheet.note(match keys::near(&plain, known) {
                    Some(near) => note.hint(format!("did you mean `{near}`?")),
                    None => note,
                });
                Column::Label(cell.to_owned())
            }
            None => {
                let fault = PoolFileFault::new(place, "", format!("{cell:?} is not a column"));
                let expected = format!("name, {}, or the name of a label", FIELDS.join(", "));
                sheet.fault(fault.expected(expected));
                Column::Bad
            }
        });
        seen.push(plain);
    }
    for needed in ["name", "address"] {
        if !seen.iter().any(|s| s == needed) {
            let what = format!("the first row has no column `{needed}`");
            let fault = PoolFileFault::new(at(line, 1), "", what)
                .expected("a row of names with `name` and `address`");
            sheet.fault(if row.len() == 1 && row.iter().any(|c| c.contains([';', '\t'])) {
                fault.hint("part the columns with commas")
            } else {
                fault
            });
            return None;
        }
    }
    Some(columns)
}

fn host(sheet: &mut Sheet, columns: &[Column], row: &::csv::StringRecord, line: u64) {
    if row.iter().all(str::is_empty) {
        return;
    }
    if row.len() != columns.len() {
        let what = format!("the row has {} cells, the first row {}", row.len(), columns.len());
        let fault = PoolFileFault::new(at(line, 1), "", what);
        sheet.fault(fault.hint("put a cell with a comma in double quotes"));
        return;
    }
    let mut draft = Draft { at: at(line, 1), ..Draft::default() };
    for (i, (cell, column)) in row.iter().zip(columns).enumerate() {
        let placed = Placed { at: at(line, i + 1), text: cell.to_owned() };
        match column {
            Column::Name => cell.clone_into(&mut draft.name),
            Column::Field(field) => drop(draft.fields.insert(field, placed)),
            Column::Label(key) if !cell.is_empty() => draft.labels.push((key.clone(), placed)),
            Column::Label(_) | Column::Bad => {}
        }
    }
    draft.check(sheet);
}
