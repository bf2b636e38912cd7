//! Rows on a terminal: columns aligned, and nothing in a cell that could steer the terminal.

/// Which way a column's cells lean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lean {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table as text, a line each row, the head first.
pub(crate) fn render<const N: usize>(head: [(&str, Lean); N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| harmless(cell)))
        .collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(head[column].0.chars().count())
    });
    let names = head.map(|(name, _)| name.to_owned());
    let mut text = String::new();
    for row in std::iter::once(&names).chain(&rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            line.push_str(&match head[column].1 {
                Lean::Left => format!("{cell:<width$}  "),
                Lean::Right => format!("{cell:>width$}  "),
            });
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text that others chose (user ids, application names, a server's version) without what could steer the terminal.
pub(super) fn harmless(cell: &str) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    let mut shown = String::with_capacity(cell.len());
    for char in cell.chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let text = render(
            [
                ("USER", Lean::Left),
                ("COUNT", Lean::Right),
                ("NOTE", Lean::Left),
            ],
            &[
                ["alice".to_owned(), "7".to_owned(), "x".to_owned()],
                ["bö".to_owned(), "12345678".to_owned(), String::new()],
            ],
        );
        assert_eq!(
            text,
            "USER      COUNT  NOTE\nalice         7  x\nbö     12345678  -\n"
        );
    }

    #[test]
    fn an_escape_sequence_is_shown_and_not_obeyed() {
        let text = render([("USER", Lean::Left)], &[["\x1b[2Jroot\n".to_owned()]]);
        assert_eq!(text, "USER\n\\u{1b}[2Jroot\\n\n");
    }
}
