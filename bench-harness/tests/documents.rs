//! The documents are plain and lead somewhere: no sentence above 30 words, a median of at most 16 a page, no dead relative link.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// The most words of a sentence.
const LONGEST: usize = 30;
/// The most words of the median sentence of a page.
const MEDIAN: usize = 16;
/// What is shorter is a label and no sentence.
const SHORTEST: usize = 3;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every Markdown page below `folder` that people write: none that is hidden, built or generated.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        let is_generated = name.starts_with('.') || name == "target" || folder.ends_with("results");
        if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        } else if entry.file_type().unwrap().is_dir() && !is_generated {
            found.extend(pages(&path));
        }
    }
    found
}

fn parse(text: &str) -> impl Iterator<Item = Event<'_>> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// The running text of a page, a paragraph each. Tables, headings and code blocks are none; a code span is one word.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    let mut aside = 0;
    for event in parse(text) {
        match event {
            Event::Start(Tag::Table(_) | Tag::Heading { .. } | Tag::CodeBlock(_) | Tag::Image { .. }) => aside += 1,
            Event::End(TagEnd::Table | TagEnd::Heading(_) | TagEnd::CodeBlock | TagEnd::Image) => aside -= 1,
            Event::Start(Tag::Paragraph | Tag::Item) | Event::End(TagEnd::Paragraph | TagEnd::Item) => {
                paragraphs.push(String::new());
            }
            _ if aside > 0 => {}
            Event::Text(text) => paragraphs.last_mut().unwrap().push_str(&text),
            Event::Code(_) => paragraphs.last_mut().unwrap().push_str("Code"),
            Event::SoftBreak | Event::HardBreak => paragraphs.last_mut().unwrap().push(' '),
            _ => {}
        }
    }
    paragraphs
}

/// The sentences of a paragraph, in words: one ends at a stop before a word that does not go on in small letters.
fn sentences(paragraph: &str) -> Vec<Vec<&str>> {
    let mut sentences = vec![Vec::new()];
    let mut has_stopped = false;
    for word in paragraph.split_whitespace() {
        let goes_on = word.starts_with(|first: char| first.is_lowercase() || first.is_numeric());
        if has_stopped && !goes_on {
            sentences.push(Vec::new());
        }
        has_stopped = word.ends_with(['.', '!', '?', ':', ';']);
        if word.contains(char::is_alphanumeric) {
            sentences.last_mut().unwrap().push(word);
        }
    }
    sentences.retain(|sentence| sentence.len() >= SHORTEST);
    sentences
}

/// The names by which GitHub links to the headings of a page.
fn anchors(text: &str) -> Vec<String> {
    let (mut anchors, mut heading) = (Vec::new(), None::<String>);
    let mut seen = HashMap::<String, usize>::new();
    for event in parse(text) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::Text(text) | Event::Code(text), Some(heading)) => heading.push_str(&text),
            (Event::End(TagEnd::Heading(_)), _) => {
                let heading = heading.take().unwrap_or_default().to_lowercase().replace(' ', "-");
                let name: String = heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
                let again = seen.entry(name.clone()).or_default();
                anchors.push(if *again == 0 { name } else { format!("{name}-{again}") });
                *again += 1;
            }
            _ => {}
        }
    }
    anchors
}

/// Why the relative link `to` on the page at `path` leads nowhere.
fn dead(path: &Path, to: &str) -> Option<String> {
    if to.contains("://") {
        return None;
    }
    let (file, anchor) = to.split_once('#').unwrap_or((to, ""));
    let target = if file.is_empty() { path.to_owned() } else { path.parent().unwrap().join(file) };
    if !target.exists() {
        return Some(format!("{to}: there is no {file}"));
    }
    let has = |anchor: &str| anchors(&fs::read_to_string(&target).unwrap()).iter().any(|name| name == anchor);
    (!anchor.is_empty() && !has(anchor)).then(|| format!("{to}: there is no such heading"))
}

/// What is wrong with the page at `path`.
fn complaints(path: &Path, text: &str) -> Vec<String> {
    let paragraphs = paragraphs(text);
    let sentences: Vec<Vec<&str>> = paragraphs.iter().flat_map(|paragraph| sentences(paragraph)).collect();
    let long = sentences.iter().filter(|sentence| sentence.len() > LONGEST);
    let mut wrong: Vec<String> =
        long.map(|sentence| format!("{} words, use {LONGEST}: {}", sentence.len(), sentence.join(" "))).collect();
    let mut lengths: Vec<usize> = sentences.iter().map(Vec::len).collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).filter(|median| **median > MEDIAN);
    wrong.extend(median.map(|median| format!("a median sentence of {median} words, use {MEDIAN}")));
    wrong.extend(parse(text).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => dead(path, &dest_url),
        _ => None,
    }));
    wrong
}

#[test]
fn documents_are_plain_and_their_links_lead_somewhere() {
    let pages = pages(root());
    assert!(pages.len() > 10, "{pages:?}");
    let wrong: Vec<String> = pages
        .iter()
        .flat_map(|path| {
            let name = path.strip_prefix(root()).unwrap().display();
            let wrong = complaints(path, &fs::read_to_string(path).unwrap());
            wrong.into_iter().map(move |wrong| format!("{name}: {wrong}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_wrong_with_a_page_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.md");
    let of = |text: &str| {
        fs::write(&path, text).unwrap();
        complaints(&path, text)
    };
    let words = |count| vec!["word"; count].join(" ");
    // A stop before a code span ends a sentence; tables, headings and code blocks have none.
    let fine = format!(
        "# A `b` C\n\n- {}: {}.\n- Short and plain, this one is.\n\n`x` {}. `y` {}.\n\n| {} |\n|---|\n\n```\n{}\n```\n[up](#a-b-c) [self](page.md)\n",
        words(10),
        words(10),
        words(14),
        words(14),
        words(40),
        words(40)
    );
    assert_eq!(of(&fine), [""; 0]);
    let long = of(&format!("So `x` is {}.", words(28)));
    assert!(long[0].starts_with("31 words, use 30: So Code is word") && long[1].starts_with("a median"), "{long:?}");
    assert_eq!(of(&format!("{}.", words(17))), ["a median sentence of 17 words, use 16"]);
    assert_eq!(
        of("# One\n[a](two.md) [b](#two) ![c](#one) [d](https://example.org/#none)"),
        ["two.md: there is no two.md", "#two: there is no such heading"]
    );
}
