//! For tests: the worked examples of `storage-format.md`, read from the document itself so that it can not drift.

/// The bytes of the example in the fenced block "```hex NAME": hexadecimal digits, with `#` starting a comment in each line.
///
/// # Panics
/// When the document has no such block, or it is not hexadecimal: the test must fail.
pub(crate) fn hex_example(name: &str) -> Vec<u8> {
    let document = include_str!("../storage-format.md");
    let opening = format!("```hex {name}\n");
    let from =
        document.find(&opening).unwrap_or_else(|| panic!("storage-format.md has no example '{name}'")) + opening.len();
    let block = document[from..].split("```").next().unwrap_or_default();
    let digits: Vec<u8> = block
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().chars())
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap_or_else(|| panic!("'{c}' in example '{name}' is not hexadecimal")) as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "example '{name}' has half a byte");
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
