//! What somebody has to look at, first and one line each; or that there is nothing.

use std::fmt::Write;

/// The lines, below a heading that catches the eye.
pub(crate) fn attention(problems: &[String]) -> String {
    if problems.is_empty() {
        return "nothing needs attention\n".to_owned();
    }
    let mut text = format!("NEEDS ATTENTION ({})\n", problems.len());
    for problem in problems {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  - {problem}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::attention;

    #[test]
    fn problems_are_counted_and_listed_and_none_is_said() {
        let problems = ["disk /data is full".to_owned(), "t-0 is offline".to_owned()];
        let text = attention(&problems);
        assert_eq!(
            text,
            "NEEDS ATTENTION (2)\n  - disk /data is full\n  - t-0 is offline\n"
        );
        assert_eq!(attention(&[]), "nothing needs attention\n");
    }
}
