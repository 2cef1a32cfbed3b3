//! A released migration never changes: `migrations/released.txt` has what was released, a line each.

use sessctl::migrations::all;

const RELEASED: &str = include_str!("../migrations/released.txt");

/// A migration as it stands in the list.
type Line = (i32, String, u64);

fn ours() -> Vec<Line> {
    let lines = all()
        .into_iter()
        .map(|m| (m.version(), m.name().to_owned(), m.checksum()));
    lines.collect()
}

fn read(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let read = (
        words.next()?.parse().ok()?,
        words.next()?.to_owned(),
        words.next()?.parse().ok()?,
    );
    words.next().is_none().then_some(read)
}

/// What is wrong with the migrations, or with the list.
fn problems(list: &str, ours: &[Line]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut released = Vec::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        match read(line) {
            Some(line) => released.push(line),
            None => problems.push(format!("not VERSION NAME CHECKSUM: {line}")),
        }
    }
    if !released.is_sorted() {
        problems.push("the list is not in the order of the versions".into());
    }
    for (version, name, checksum) in &released {
        match ours.iter().find(|(ours, ..)| ours == version) {
            None => problems.push(format!("V{version} {name} was released and is missing")),
            Some((_, ours, _)) if ours != name => {
                problems.push(format!("V{version} {name} was released and is {ours} now"))
            }
            Some((_, _, ours)) if ours != checksum => {
                problems.push(format!("V{version} {name} was released and has changed"))
            }
            Some(_) => {}
        }
    }
    let newest = released.iter().map(|(version, ..)| *version).max().unwrap_or_default();
    for (version, name, _) in ours.iter().filter(|(version, ..)| *version < newest) {
        if !released.iter().any(|(released, ..)| released == version) {
            problems.push(format!(
                "V{version} {name} is older than V{newest}, which was released without it"
            ));
        }
    }
    problems
}

#[test]
fn released_migrations_are_as_they_were_released() {
    assert_eq!(problems(RELEASED, &ours()), Vec::<String>::new());
}

/// `packaging/prepare` writes the list with it, for the commit that gets a tag.
#[test]
fn a_list_for_a_release_has_every_migration() {
    let first = RELEASED.lines().next().unwrap();
    let lines = ours();
    let lines = lines
        .iter()
        .map(|(version, name, sum)| format!("{version} {name} {sum}\n"));
    let text = format!("{first}\n{}", lines.collect::<String>());
    assert_eq!(problems(&text, &ours()), Vec::<String>::new());
    if std::env::var_os("SESSCTL_WRITE_RELEASED").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/released.txt");
        std::fs::write(file, text).unwrap();
    }
}

#[test]
fn a_released_migration_that_changed_is_missing_or_renamed_is_found() {
    let ours = ours();
    let list = |lines: &[Line]| -> String {
        let lines = lines
            .iter()
            .map(|(version, name, checksum)| format!("{version} {name} {checksum}\n"));
        format!("# A comment.\n{}", lines.collect::<String>())
    };
    assert_eq!(problems(&list(&ours), &ours), Vec::<String>::new());
    assert_eq!(problems(&list(&ours[..3]), &ours), Vec::<String>::new());

    let mut changed = ours.clone();
    changed[1].2 ^= 1;
    assert_eq!(
        problems(&list(&ours), &changed),
        ["V2 policies was released and has changed"]
    );
    let mut renamed = ours.clone();
    renamed[1].1 = "rules".into();
    assert_eq!(
        problems(&list(&ours), &renamed),
        ["V2 policies was released and is rules now"]
    );
    let mut fewer = ours.clone();
    fewer.remove(1);
    assert_eq!(
        problems(&list(&ours), &fewer),
        ["V2 policies was released and is missing"]
    );
    assert_eq!(
        problems(&list(&fewer), &ours),
        ["V2 policies is older than V14, which was released without it"]
    );
    let mut shuffled = ours.clone();
    shuffled.swap(0, 1);
    assert_eq!(
        problems(&list(&shuffled), &ours),
        ["the list is not in the order of the versions"]
    );
    for line in ["2 policies", "2 policies x", "two policies 7", "2 policies 7 8"] {
        assert_eq!(problems(line, &ours), [format!("not VERSION NAME CHECKSUM: {line}")]);
    }
}
