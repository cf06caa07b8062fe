//! Whether a store's trees are those of its journal: heads, every hash, every place.

use std::time::{Duration, Instant};

use mingpai::store::journal::{FrameKind, Location};
use mingpai::store::trees::Tree;
use mingpai::store::{ApplyError, Store};
use mingpai::tlog::frontier::Frontier;
use mingpai::tlog::hash::leaf_hash;

/// Waits until they are where the journal is; what takes them there runs beside.
pub fn wait(store: &Store) {
    let end = Instant::now() + Duration::from_secs(60);
    while !store.trees().is_in_step() {
        assert!(Instant::now() < end, "the trees do not come to where the journal is");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Compares everything that the trees say with the journal.
pub fn compare(store: &Store) {
    wait(store);
    let mut trees = [(Tree::Registry, Expected::default()), (Tree::Audit, Expected::default())];
    store
        .replay(|frame| {
            for (tree, expected) in &mut trees {
                let is_leaf = match tree {
                    Tree::Registry => frame.kind.in_registry(),
                    Tree::Audit => frame.kind.in_audit(),
                };
                if is_leaf {
                    expected.add(frame.location, frame.kind, frame.statement.clone());
                }
            }
            Ok::<(), ApplyError>(())
        })
        .unwrap();
    let (heads, _) = store.trees().heads().expect("they are in step");
    for (tree, expected) in &trees {
        let head = if *tree == Tree::Registry { heads.registry } else { heads.audit };
        assert_eq!(head, expected.frontier.head(), "{tree:?}");
        let reader = store.trees().reader(*tree);
        assert_eq!(reader.size(), head.size);
        assert_eq!(reader.places(0, head.size + 1).unwrap(), expected.places, "{tree:?}");
        let leaves: Vec<_> = expected.statements.iter().map(|(_, statement)| leaf_hash(statement)).collect();
        assert_eq!(reader.row(0, 0..head.size).unwrap(), leaves, "{tree:?}");
        for (place, statement) in expected.places.iter().zip(&expected.statements) {
            assert_eq!(store.statement(*place).unwrap(), *statement);
        }
        for level in 1..64_u8 {
            let count = head.size >> level;
            let found = reader.row(level, 0..count).unwrap();
            let below = reader.row(level - 1, 0..2 * count).unwrap();
            let made: Vec<_> = below.chunks(2).map(|pair| mingpai::tlog::hash::node_hash(&pair[0], &pair[1])).collect();
            assert_eq!(found, made, "{tree:?}, level {level}");
            assert!(reader.row(level, 0..count + 1).is_err(), "nothing is told of what is not there");
        }
    }
}

#[derive(Default)]
struct Expected {
    frontier: Frontier,
    places: Vec<Location>,
    statements: Vec<(FrameKind, Vec<u8>)>,
}

impl Expected {
    fn add(&mut self, place: Location, kind: FrameKind, statement: Vec<u8>) {
        self.frontier.push(leaf_hash(&statement));
        self.places.push(place);
        self.statements.push((kind, statement));
    }
}
