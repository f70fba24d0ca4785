//! Assignments equal those of GrowthBook's Python client, unit by unit (`fixtures/generate_assignments.py`).

use llmops_domain::experiment::assignment::Splitter;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    units: usize,
    odd: Vec<String>,
    experiments: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    seed: String,
    weights: Vec<f64>,
    coverage: f64,
    counts: Vec<usize>,
    digest: String,
}

fn units(fixture: &Fixture) -> Vec<String> {
    let half = fixture.units / 2;
    let mut units = fixture.odd.clone();
    units.extend((0..half).map(|i| format!("user-{i}")));
    let rest = fixture.units - units.len();
    units.extend((0..rest as u64).map(|i| format!("{:08x}-ünit", i * 2_654_435_761 % (1 << 32))));
    units
}

#[test]
fn a_hundred_thousand_units_in_twenty_experiments() {
    let fixture: Fixture = serde_json::from_str(include_str!("../fixtures/assignments.json")).unwrap();
    assert_eq!((fixture.units, fixture.experiments.len()), (100_000, 20));
    let units = units(&fixture);
    for reference in &fixture.experiments {
        let splitter = Splitter::new(&reference.seed, &reference.weights, reference.coverage);
        let mut counts = vec![0; reference.weights.len()];
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        for unit in &units {
            let variant = splitter.variant(unit);
            let byte = variant.map_or(0xff, |index| index as u64);
            digest = (digest ^ byte).wrapping_mul(0x0100_0000_01b3);
            if let Some(index) = variant {
                counts[index] += 1;
            }
        }
        assert_eq!(counts, reference.counts, "{}", reference.seed);
        assert_eq!(format!("{digest:016x}"), reference.digest, "{}", reference.seed);
    }
}
