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
    render_rows(&head, rows)
}

/// The same of rows whose length is not known here. A row has as many cells as the head.
pub(crate) fn render_rows<R: AsRef<[String]>>(head: &[(&str, Lean)], rows: &[R]) -> String {
    let shown = rows
        .iter()
        .map(|row| row.as_ref().iter().map(|cell| harmless(cell)).collect());
    let rows: Vec<Vec<String>> = shown.collect();
    let names: Vec<String> = head.iter().map(|(name, _)| (*name).to_owned()).collect();
    let lines = || std::iter::once(&names).chain(&rows);
    let width = |column: usize| {
        let cells = lines().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in lines() {
        let mut line = String::new();
        for ((cell, (_, lean)), &width) in row.iter().zip(head).zip(&widths) {
            line.push_str(&match lean {
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
