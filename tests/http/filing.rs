//! Filing: enterprises apply, reviewers judge, a prefix is allocated; and nobody sees what is not his to see.

use http::Method;
use serde_json::{Value as Json, json};

use crate::audited::covered;
use crate::world::{Answer, Ask, World, part};

const TWO: &str = "[[prefixes]]\nprefix = \"88.999\"\n[filing]\napprovals = 2\n";
const ONE: &str = "[[prefixes]]\nprefix = \"88.999\"\n[[prefixes]]\nprefix = \"88.999.1\"\n";

/// Numbers of persons, which must be nowhere in clear.
const PERSONAL: [&str; 6] = [
    "350203199001011234",
    "13900001234",
    "li.contact@example.cn",
    "+86 592 7654321",
    "王法人",
    "IMAGE-OF-A-CERTIFICATE",
];

pub const PDF: &str = "%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n% IMAGE-OF-A-CERTIFICATE\nstartxref\n9\n%%EOF\n";

pub fn form(prefix: &str, name: &str) -> Json {
    json!({
        "prefix": prefix,
        "unit": {
            "name": name,
            "kind": "enterprise",
            "certificate": {"type": "uscc", "number": "91350200MA2YJ1XR9G"},
            "industry": "3451",
            "region": "350203",
            "address": "厦门市思明区示范路 1 号",
        },
        "legal_person": {
            "name": PERSONAL[4],
            "document": {"type": "resident_identity_card", "number": PERSONAL[0]},
            "phone": PERSONAL[3],
        },
        "contact": {"name": "李四", "phone": PERSONAL[1], "email": PERSONAL[2]},
    })
}

pub async fn key(world: &World, role: &str) -> String {
    let made = world.ask(Method::POST, "/v1/keys").signed().json(&json!({"role": role})).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["key"].as_str().unwrap().to_owned()
}

fn by<'w>(ask: Ask<'w>, key: &str) -> Ask<'w> {
    ask.header("authorization", &format!("Bearer {key}"))
}

/// A key, and the world that it asks.
pub struct Person<'w> {
    pub world: &'w World,
    pub key: String,
}

impl<'w> Person<'w> {
    pub async fn new(world: &'w World, role: &str) -> Person<'w> {
        Person { world, key: key(world, role).await }
    }

    pub fn principal(&self) -> String {
        format!("key:{}", self.key.split('_').nth(1).unwrap())
    }

    pub async fn get(&self, target: &str) -> Answer {
        by(self.world.get(target), &self.key).send().await
    }

    async fn draft(&self, form: &Json) -> String {
        let made = by(self.world.ask(Method::POST, "/v1/filings"), &self.key).json(form).send().await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(made.header("location"), format!("/v1/filings/{}", made.json()["id"].as_str().unwrap()));
        made.json()["id"].as_str().unwrap().to_owned()
    }

    async fn edit(&self, id: &str, version: u64, form: &Json) -> Answer {
        let ask =
            self.world.ask(Method::PUT, &format!("/v1/filings/{id}")).header("if-match", &format!("\"{version}\""));
        by(ask, &self.key).json(form).send().await
    }

    pub async fn step(&self, id: &str, step: &str) -> Answer {
        by(self.world.ask(Method::POST, &format!("/v1/filings/{id}/{step}")), &self.key).send().await
    }

    pub async fn say(&self, id: &str, step: &str, body: &Json) -> Answer {
        by(self.world.ask(Method::POST, &format!("/v1/filings/{id}/{step}")), &self.key).json(body).send().await
    }

    /// A step that must succeed; where the filing stands then.
    pub async fn does(&self, id: &str, step: &str, state: &str) {
        let answer = self.step(id, step).await;
        assert_eq!(answer.status, 200, "{step}: {}", answer.text());
        assert_eq!(answer.json()["state"], state, "{step}");
    }

    async fn attach(&self, id: &str, kind: &str, media_type: &str, file: &[u8]) -> Answer {
        let ask = self.world.ask(Method::POST, &format!("/v1/filings/{id}/attachments?kind={kind}"));
        by(ask, &self.key).typed(media_type, file.to_vec()).send().await
    }

    /// A draft with the image of its certificate.
    async fn whole(&self, form: &Json) -> String {
        let id = self.draft(form).await;
        let attached = self.attach(&id, "certificate", "application/pdf", PDF.as_bytes()).await;
        assert_eq!(attached.status, 201, "{}", attached.text());
        id
    }

    pub async fn submitted(&self, form: &Json) -> String {
        let id = self.whole(form).await;
        self.does(&id, "submit", "submitted").await;
        id
    }
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn two_reviewers_agree_and_the_enterprise_registers_under_its_prefix() {
    let world = World::configured(TWO).await;
    let (one, two) = (Person::new(&world, "applicant").await, Person::new(&world, "applicant").await);
    let (first, second) = (Person::new(&world, "reviewer").await, Person::new(&world, "reviewer").await);
    let id = one.submitted(&form("88.999.7", "厦门示范轴承有限公司")).await;
    // Not before it is allocated.
    let early = world.ask(Method::PUT, "/v1/records/88.999.7/a").signed().json(&part("一")).send().await;
    assert_eq!(told(&early), refused(404, "not_responsible"));
    first.does(&id, "claim", "under_review").await;
    let reasons = json!({"reasons": [{"pointer": "/unit/address", "text": "与证照不符\n请附门牌号"}]});
    let returned = first.say(&id, "return", &reasons).await;
    assert_eq!((returned.status.as_u16(), &returned.json()["state"]), (200, &json!("returned")), "{}", returned.text());
    let seen = one.get(&format!("/v1/filings/{id}")).await;
    assert_eq!(seen.json()["steps"][4]["reasons"], reasons["reasons"]);
    let version = seen.json()["version"].as_u64().unwrap();
    assert_eq!(seen.header("etag"), format!("\"{version}\""));
    let mut mended = form("88.999.7", "厦门示范轴承有限公司");
    mended["unit"]["address"] = json!("厦门市思明区示范路 2 号");
    assert_eq!(told(&one.edit(&id, version - 1, &mended).await), refused(412, "version_mismatch"));
    let ask = by(world.ask(Method::PUT, &format!("/v1/filings/{id}")), &one.key).json(&mended);
    assert_eq!(told(&ask.send().await), refused(428, "precondition_required"));
    assert_eq!(one.edit(&id, version, &mended).await.json()["form"]["unit"]["address"], mended["unit"]["address"]);
    one.does(&id, "submit", "submitted").await;
    first.does(&id, "claim", "under_review").await;
    let agreed = first.say(&id, "approve", &json!({"note": "证照已核"})).await.json();
    assert_eq!((&agreed["state"], &agreed["endorsed_by"]), (&json!("submitted"), &json!(first.principal())));
    // Nobody is two people.
    assert_eq!(told(&first.step(&id, "claim").await), refused(403, "filing_same_person"));
    second.does(&id, "claim", "under_review").await;
    assert_eq!(told(&first.step(&id, "approve").await), refused(409, "filing_not_claimed"));
    let other = second.say(&id, "approve", &json!({"prefix": "88.999.70"})).await;
    assert_eq!(told(&other), refused(409, "prefix_unavailable"));
    let approved = second.step(&id, "approve").await.json();
    assert_eq!((&approved["state"], &approved["prefix"]), (&json!("approved"), &json!("88.999.7")));
    // Who stands behind it is everybody's to know, and nothing of a person is.
    for name in ["88.999.7", "88.999.7/whatever"] {
        let answer = world.get(&format!("/v1/identity/{name}")).header("accept", "application/rdap+json").send().await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/rdap+json"));
        let known = answer.json();
        assert_eq!((&known["handle"], &known["mingpai_origin"]), (&json!("88.999.7"), &json!("filing")));
        assert_eq!(known["entities"][0]["vcardArray"][1][1], json!(["fn", {}, "text", "厦门示范轴承有限公司"]));
        assert_eq!(known["events"][0]["eventAction"], "registration");
        assert!(PERSONAL.iter().all(|personal| !answer.text().contains(personal)), "{}", answer.text());
    }
    let own = world.get("/v1/identity/88.999").send().await.json();
    assert_eq!((&own["mingpai_origin"], &own["events"]), (&json!("configuration"), &json!([])));
    for (name, status, code) in [
        ("88.999.8", 404, "not_responsible"),
        ("88.998.1/A", 404, "not_responsible"),
        ("gs1:01/09506000134352", 404, "identifier_unknown"),
        ("no name", 400, "identifier_invalid"),
    ] {
        let answer = world.get(&format!("/v1/identity/{}", name.replace(' ', "%20"))).send().await;
        assert_eq!(told(&answer), refused(status, code), "{name}");
    }
    // What reviewers note for one another is not the applicant's.
    assert!(!one.get(&format!("/v1/filings/{id}")).await.text().contains("证照已核"));
    assert!(second.get(&format!("/v1/filings/{id}")).await.text().contains("证照已核"));
    // From now on the node answers for it, and after a restart.
    let made = json!({"role": "registrar", "prefixes": ["88.999.7"]});
    let made = world.ask(Method::POST, "/v1/keys").signed().json(&made).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let registrar = made.json()["key"].as_str().unwrap().to_owned();
    let register = async |world: &World, name: &str| {
        by(world.ask(Method::PUT, &format!("/v1/records/88.999.7/{name}")), &registrar).json(&part("一")).send().await
    };
    assert_eq!(register(&world, "a").await.status, 201);
    let minted = json!({"prefix": "88.999.7", "values": []});
    let minted = by(world.ask(Method::POST, "/v1/records"), &registrar).json(&minted).send().await;
    assert_eq!(minted.status, 201, "{}", minted.text());
    let read = world.get("/v1/resolve/88.999.7/A").send().await.json();
    assert_eq!(read["registrant"], "厦门示范轴承有限公司");
    // Another enterprise cannot have it, nor one below it.
    let id = two.submitted(&form("88.999.7", "另一家")).await;
    first.does(&id, "claim", "under_review").await;
    assert_eq!(told(&first.step(&id, "approve").await), refused(409, "prefix_unavailable"));
    let two_key = two.key.clone();
    let world = world.restarted(TWO).await;
    assert_eq!(register(&world, "b").await.status, 201);
    assert_eq!(world.get("/v1/resolve/88.999.7/a").send().await.status, 200);
    let own = by(world.get(&format!("/v1/filings/{id}")), &two_key).send().await.json();
    assert_eq!((&own["state"], &own["form"]["unit"]["name"]), (&json!("under_review"), &json!("另一家")));
}

#[tokio::test]
async fn one_reviewer_is_enough_where_the_operator_says_so() {
    let world = World::configured(ONE).await;
    let (applicant, reviewer) = (Person::new(&world, "applicant").await, Person::new(&world, "reviewer").await);
    for (wanted, given, outcome) in [
        ("88.999.1", None, Err("prefix_unavailable")),
        ("88.999", None, Err("prefix_unavailable")),
        ("88.998.1", None, Err("prefix_unavailable")),
        ("88.999.1", Some("88.999.2"), Ok("88.999.2")),
        ("88.999.3", None, Ok("88.999.3")),
        ("88.999.3", None, Err("prefix_unavailable")),
        ("88.999.4", Some("88.999.4/x"), Err("prefix_unavailable")),
    ] {
        let id = applicant.submitted(&form(wanted, "示范")).await;
        reviewer.does(&id, "claim", "under_review").await;
        let answer = reviewer.say(&id, "approve", &json!({"prefix": given})).await;
        match outcome {
            Ok(prefix) => assert_eq!(answer.json()["prefix"], prefix, "{}", answer.text()),
            Err(code) => {
                assert_eq!(told(&answer), refused(409, code), "{wanted}");
                applicant.does(&id, "withdraw", "withdrawn").await;
            }
        }
    }
}

#[tokio::test]
async fn of_two_who_take_the_same_step_one_is_told_of_the_other() {
    let world = World::configured(ONE).await;
    let applicant = Person::new(&world, "applicant").await;
    let mut reviewers = Vec::new();
    for _ in 0..6 {
        reviewers.push(Person::new(&world, "reviewer").await);
    }
    for _ in 0..5 {
        let id = applicant.submitted(&form("88.999.5", "示范")).await;
        let tries = reviewers.iter().map(|reviewer| reviewer.step(&id, "claim"));
        let answers = futures_util::future::join_all(tries).await;
        let claimed: Vec<usize> = (0..6).filter(|at| answers[*at].status == 200).collect();
        assert_eq!(claimed.len(), 1);
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert!(
                ["filing_step_refused", "filing_not_claimed", "version_mismatch"].contains(&answer.code().as_str()),
                "{}",
                answer.text()
            );
        }
        let seen = applicant.get(&format!("/v1/filings/{id}")).await.json();
        assert_eq!(seen["reviewer"], reviewers[claimed[0]].principal());
        // An administrator puts back what somebody went away with.
        let released = world.ask(Method::POST, &format!("/v1/filings/{id}/release")).signed().send().await;
        assert_eq!(released.json()["state"], "submitted");
        applicant.does(&id, "withdraw", "withdrawn").await;
    }
    // Who judges his own is told no, and that is noted; so is who is shown a prefix that cannot be had.
    let own = world.ask(Method::POST, "/v1/filings").signed().json(&form("88.999.1", "自")).send().await.json();
    let own = format!("/v1/filings/{}", own["id"].as_str().unwrap());
    let attached = world.ask(Method::POST, &format!("{own}/attachments?kind=certificate")).signed();
    assert_eq!(attached.typed("application/pdf", PDF).send().await.status, 201);
    for step in ["submit", "claim"] {
        let answer = world.ask(Method::POST, &format!("{own}/{step}")).signed().send().await;
        assert_eq!(answer.status, if step == "submit" { 200 } else { 403 }, "{}", answer.text());
    }
    let doubts = reviewers[0].get(&own).await.json()["doubts"].clone();
    assert_eq!((&doubts[0]["pointer"], &doubts[0]["code"]), (&json!("/prefix"), &json!("prefix_unavailable")));
    assert_eq!(told(&reviewers[0].get(&format!("{own}?reveal=1")).await), refused(409, "filing_not_claimed"));
    std::thread::scope(|scope| scope.spawn(|| world.node.services.write_denials()).join()).unwrap();
    covered(&world).await;
    let denied = world.get("/v1/audit?event=access.denied").signed().send().await.text();
    assert!(denied.contains("filing_same_person") && denied.contains("filing_not_claimed"), "{denied}");
    // Two filings for one prefix: who approves second is told that it is taken, or that somebody was first.
    let (one, other) =
        (applicant.submitted(&form("88.999.6", "甲")).await, applicant.submitted(&form("88.999.6", "乙")).await);
    reviewers[0].does(&one, "claim", "under_review").await;
    reviewers[1].does(&other, "claim", "under_review").await;
    let tries = [reviewers[0].step(&one, "approve"), reviewers[1].step(&other, "approve")];
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(
        answers.iter().filter(|answer| answer.status != 200).all(|answer| [409, 412].contains(&answer.status.as_u16()))
    );
}

/// Handle prefixes may lie below one another; what overlaps is never allocated twice, at once or one after the other.
#[tokio::test]
async fn prefixes_that_overlap_are_not_both_allocated() {
    let file = "[[prefixes]]\nprefix = \"10.1000\"\n[[prefixes]]\nprefix = \"10.1000.9\"\n";
    let world = World::configured(file).await;
    let (applicant, reviewer) = (Person::new(&world, "applicant").await, Person::new(&world, "reviewer").await);
    let claimed = async |prefix: &str| {
        let id = applicant.submitted(&form(prefix, "示范")).await;
        reviewer.does(&id, "claim", "under_review").await;
        id
    };
    let (above, below) = (claimed("10.1000.6").await, claimed("10.1000.6.1").await);
    let (one, other) = tokio::join!(reviewer.step(&above, "approve"), reviewer.step(&below, "approve"));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    for taken in ["10.1000.6.1.1", "10.1000.9.1", "10.1000.9"] {
        let id = claimed(taken).await;
        assert_eq!(told(&reviewer.step(&id, "approve").await), refused(409, "prefix_unavailable"), "{taken}");
    }
    // What was the configuration's once, and has names, is nobody's to be given.
    world.register("10.1000.9/a", &part("一")).await;
    let reviewer_key = reviewer.key.clone();
    let id = claimed("10.1000.9").await;
    let world = world.restarted("[[prefixes]]\nprefix = \"10.1000\"\n").await;
    let ask = by(world.ask(Method::POST, &format!("/v1/filings/{id}/approve")), &reviewer_key);
    assert_eq!(told(&ask.send().await), refused(409, "prefix_unavailable"));
}

/// Whoever edits without end cannot make a filing that nobody can end.
#[tokio::test]
async fn a_filing_with_very_many_steps_can_still_be_ended() {
    let world = World::configured(ONE).await;
    let (applicant, reviewer) = (Person::new(&world, "applicant").await, Person::new(&world, "reviewer").await);
    let id = applicant.draft(&form("88.999.7", "示范")).await;
    for version in 1..50 {
        assert_eq!(applicant.edit(&id, version, &form("88.999.7", "示范")).await.status, 200, "{version}");
    }
    let more = applicant.edit(&id, 50, &form("88.999.7", "示范")).await;
    assert_eq!(told(&more), refused(409, "filing_step_refused"));
    for _ in 0..2 {
        assert_eq!(applicant.attach(&id, "certificate", "application/pdf", PDF.as_bytes()).await.status, 201);
    }
    applicant.does(&id, "submit", "submitted").await;
    for _ in 0..73 {
        reviewer.does(&id, "claim", "under_review").await;
        reviewer.does(&id, "release", "submitted").await;
    }
    reviewer.does(&id, "claim", "under_review").await;
    assert_eq!(told(&reviewer.step(&id, "release").await), refused(409, "filing_step_refused"));
    let rejected = reviewer.say(&id, "reject", &json!({"reasons": [{"text": "反复"}]})).await;
    assert_eq!(rejected.json()["state"], "rejected", "{}", rejected.text());
    // What was withdrawn before it was ever sent stays its applicant's.
    let unsent = applicant.draft(&form("88.999.8", "示范")).await;
    applicant.does(&unsent, "withdraw", "withdrawn").await;
    assert_eq!(told(&reviewer.step(&unsent, "claim").await), refused(404, "filing_unknown"));
}

#[tokio::test]
async fn a_filing_is_its_applicants_and_once_it_is_sent_its_reviewers() {
    let world = World::configured(ONE).await;
    let (mine, other) = (Person::new(&world, "applicant").await, Person::new(&world, "applicant").await);
    let (reviewer, second) = (Person::new(&world, "reviewer").await, Person::new(&world, "reviewer").await);
    let auditor = Person::new(&world, "auditor").await;
    let id = mine.whole(&form("88.999.7", "示范")).await;
    let target = format!("/v1/filings/{id}");
    let whole = format!("{target}?reveal=1");
    for stranger in [&other, &reviewer] {
        assert_eq!(told(&stranger.get(&target).await), refused(404, "filing_unknown"));
        assert_eq!(stranger.get("/v1/filings").await.json()["filings"], json!([]));
    }
    assert_eq!(told(&reviewer.step(&id, "claim").await), refused(404, "filing_unknown"));
    for step in ["submit", "withdraw"] {
        assert_eq!(told(&other.step(&id, step).await), refused(404, "filing_unknown"));
        assert_eq!(told(&reviewer.step(&id, step).await), refused(403, "forbidden"));
    }
    assert_eq!(told(&other.edit(&id, 1, &form("88.999.7", "夺")).await), refused(404, "filing_unknown"));
    assert_eq!(told(&auditor.get(&target).await), refused(403, "forbidden"));
    mine.does(&id, "submit", "submitted").await;
    assert_eq!(told(&other.get(&target).await), refused(404, "filing_unknown"));
    for step in ["claim", "release", "return", "reject", "approve"] {
        assert_eq!(told(&mine.step(&id, step).await), refused(403, "forbidden"), "{step}");
    }
    let seen = reviewer.get(&target).await;
    assert_eq!(seen.status, 200);
    for personal in &PERSONAL[..4] {
        assert!(!seen.text().contains(personal), "{personal} is masked");
    }
    assert_eq!(seen.json()["form"]["legal_person"]["document"]["number"], "35**************34");
    assert_eq!(seen.json()["industry_name"], "滚动轴承制造");
    assert_eq!(seen.json()["region_name"], "福建省厦门市思明区");
    // Whole numbers are for who has it in review, and are noted.
    assert_eq!(told(&reviewer.get(&whole).await), refused(409, "filing_not_claimed"));
    reviewer.does(&id, "claim", "under_review").await;
    assert_eq!(told(&second.get(&whole).await), refused(409, "filing_not_claimed"));
    assert_eq!(reviewer.get(&whole).await.json()["form"]["legal_person"]["document"]["number"], PERSONAL[0]);
    assert_eq!(mine.get(&whole).await.json()["form"]["contact"]["phone"], PERSONAL[1]);
    covered(&world).await;
    let trail = auditor.get("/v1/audit?event=filing.*&order=oldest").await.json();
    let events: Vec<&str> =
        trail["events"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        ["filing.drafted", "filing.attached", "filing.submitted", "filing.claimed", "filing.revealed"],
        "{trail}"
    );
    assert!(trail["events"].as_array().unwrap().iter().all(|one| one["subject"] == id), "{trail}");
    let list = reviewer.get("/v1/filings?state=under_review").await.json();
    assert_eq!(
        (&list["filings"][0]["id"], &list["filings"][0]["reviewer"]),
        (&json!(id), &json!(reviewer.principal()))
    );
}

/// Neither the journal nor the log nor an error may have a person's number in clear.
#[tokio::test]
async fn nothing_of_a_person_is_on_the_disk_in_clear() {
    let world = World::configured(ONE).await;
    let (applicant, reviewer) = (Person::new(&world, "applicant").await, Person::new(&world, "reviewer").await);
    let id = applicant.submitted(&form("88.999.7", "厦门示范轴承有限公司")).await;
    reviewer.does(&id, "claim", "under_review").await;
    let reason = json!({"reasons": [{"text": format!("{} 与证件不符", PERSONAL[4])}]});
    assert_eq!(reviewer.say(&id, "return", &reason).await.status, 200);
    applicant.does(&id, "submit", "submitted").await;
    reviewer.does(&id, "claim", "under_review").await;
    assert_eq!(reviewer.step(&id, "approve").await.status, 200);
    let mut bent = form("88.999.8", "示范");
    bent["contact"]["email"] = json!(format!("{}@@", PERSONAL[0]));
    let answer = by(world.ask(Method::POST, "/v1/filings"), &applicant.key).json(&bent).send().await;
    assert_eq!(told(&answer), refused(422, "fields_invalid"));
    assert!(!answer.text().contains(PERSONAL[0]), "an error does not repeat what was sent");
    let mut files = vec![world.node.services.settings.data_folder.clone()];
    let mut bytes = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        bytes += content.len();
        for personal in PERSONAL {
            let found = content.windows(personal.len()).position(|window| window == personal.as_bytes());
            assert_eq!(found, None, "{personal} in {}", path.display());
        }
    }
    assert!(bytes > 10_000, "the journal was looked through");
}

#[tokio::test]
async fn what_is_wrong_with_a_filing_or_a_word_on_it_is_told() {
    let world = World::configured(ONE).await;
    let (applicant, reviewer) = (Person::new(&world, "applicant").await, Person::new(&world, "reviewer").await);
    let mut wrong = form("88.999.7", "");
    wrong["unit"]["certificate"]["number"] = json!("913502");
    let answer = by(world.ask(Method::POST, "/v1/filings"), &applicant.key).json(&wrong).send().await;
    let told_of: Vec<String> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told_of, ["/unit/name", "/unit/certificate/number"]);
    // A pilot-era code is taken, and a reviewer is told of it.
    let mut pilot = form("88.999.7", "示范");
    pilot["unit"]["certificate"]["number"] = json!("91350203M0001QAY9B");
    let id = applicant.submitted(&pilot).await;
    let seen = reviewer.get(&format!("/v1/filings/{id}")).await.json();
    assert_eq!(seen["doubts"][0]["pointer"], "/unit/certificate/number", "{seen}");
    assert!(applicant.get(&format!("/v1/filings/{id}")).await.json().get("doubts").is_none());
    reviewer.does(&id, "claim", "under_review").await;
    for (step, body, pointer) in [
        ("return", json!({}), "/reasons"),
        ("return", json!({"reasons": []}), "/reasons"),
        ("return", json!({"reasons": [{"text": " "}]}), "/reasons/0/text"),
        ("return", json!({"reasons": [{"text": "x".repeat(2_001)}]}), "/reasons/0/text"),
        ("reject", json!({"reasons": [{"text": "a"}, {"text": "b", "pointer": "unit"}]}), "/reasons/1/pointer"),
        ("reject", json!({"reason": "a"}), "/reason"),
        ("approve", json!([]), ""),
        ("approve", json!({"prefix": 7}), "/prefix"),
        ("approve", json!({"note": ""}), "/note"),
        ("claim", json!({"a": 1}), "/a"),
    ] {
        let answer = reviewer.say(&id, step, &body).await;
        assert_eq!(told(&answer), refused(422, "fields_invalid"), "{step} {body}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{step} {body}");
    }
    let rejected = reviewer.say(&id, "reject", &json!({"reasons": [{"text": "重复"}]})).await;
    assert_eq!(rejected.json()["state"], "rejected");
    for (person, step) in
        [(&applicant, "submit"), (&applicant, "withdraw"), (&reviewer, "claim"), (&reviewer, "approve")]
    {
        assert_eq!(told(&person.step(&id, step).await), refused(409, "filing_step_refused"), "{step}");
    }
    assert_eq!(told(&applicant.edit(&id, 5, &pilot).await), refused(409, "filing_step_refused"));
    for id in ["none", "NONE", "a.1", "%2e", "a%00", "%E9%93%AD", &"a".repeat(65)] {
        let asked = applicant.get(&format!("/v1/filings/{id}")).await;
        assert_eq!(told(&asked), refused(404, "filing_unknown"), "{id}");
    }
    assert_eq!(told(&applicant.get("/v1/filings/..").await).0, 404);
    for query in ["state=king", "limit=0", "limit=501", "cursor=x"] {
        assert_eq!(
            told(&applicant.get(&format!("/v1/filings?{query}")).await),
            refused(400, "query_invalid"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_applicant_has_so_many_open_filings_and_pages_hold_each_once() {
    let world = World::configured(ONE).await;
    let (applicant, reviewer) = (Person::new(&world, "applicant").await, Person::new(&world, "reviewer").await);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(applicant.submitted(&form("88.999.7", "示范")).await);
    }
    let ask = by(world.ask(Method::POST, "/v1/filings"), &applicant.key).json(&form("88.999.7", "示范"));
    assert_eq!(told(&ask.send().await), refused(409, "filing_too_many"));
    applicant.does(&ids[0], "withdraw", "withdrawn").await;
    ids.push(applicant.draft(&form("88.999.7", "示范")).await);
    for (person, count) in [(&applicant, 21), (&reviewer, 20)] {
        for limit in [1, 7, 500] {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = person.get(&format!("/v1/filings?limit={limit}{cursor}")).await.json();
                seen.extend(
                    page["filings"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()),
                );
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(seen.len(), count, "{limit}");
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), count, "{limit}");
        }
    }
}

#[tokio::test]
async fn nothing_is_submitted_without_the_certificate_and_a_file_is_what_it_says() {
    let world = World::configured(ONE).await;
    let (applicant, other) = (Person::new(&world, "applicant").await, Person::new(&world, "applicant").await);
    let (reviewer, second) = (Person::new(&world, "reviewer").await, Person::new(&world, "reviewer").await);
    let id = applicant.draft(&form("88.999.7", "示范")).await;
    assert_eq!(told(&applicant.step(&id, "submit").await), refused(409, "filing_incomplete"));
    assert_eq!(applicant.attach(&id, "other", "application/pdf", PDF.as_bytes()).await.status, 201);
    assert_eq!(told(&applicant.step(&id, "submit").await), refused(409, "filing_incomplete"));
    let trailing = [PDF.as_bytes(), b"PK\x05\x06<script>"].concat();
    let large = [PDF.as_bytes(), &vec![b' '; 4 << 20]].concat();
    for (kind, media_type, file, status, code) in [
        ("certificate", "image/png", PDF.as_bytes(), 415, "unsupported_media_type"),
        ("certificate", "text/html", b"<html>", 415, "unsupported_media_type"),
        ("certificate", "image/svg+xml", b"<svg/>", 415, "unsupported_media_type"),
        ("certificate", "image/png", b"<html><script>", 422, "fields_invalid"),
        ("certificate", "application/pdf", &trailing, 422, "fields_invalid"),
        ("certificate", "application/pdf", b"", 422, "fields_invalid"),
        ("certificate", "application/pdf", b"%PDF-1.4 /JavaScript startxref %%EOF", 422, "fields_invalid"),
        ("certificate", "application/pdf", &large, 413, "body_too_large"),
        ("picture", "application/pdf", PDF.as_bytes(), 400, "query_invalid"),
    ] {
        let answer = applicant.attach(&id, kind, media_type, file).await;
        assert_eq!(told(&answer), refused(status, code), "{kind} {media_type}: {}", answer.text());
    }
    assert_eq!(
        told(&other.attach(&id, "other", "application/pdf", PDF.as_bytes()).await),
        refused(404, "filing_unknown")
    );
    assert_eq!(
        told(&reviewer.attach(&id, "other", "application/pdf", PDF.as_bytes()).await),
        refused(403, "forbidden")
    );
    let attached = applicant.attach(&id, "certificate", "application/pdf", PDF.as_bytes()).await.json();
    let attachment = attached["steps"][2]["attachment"].clone();
    assert_eq!(
        attachment,
        json!({"seq": 3, "kind": "certificate", "media_type": "application/pdf", "bytes": PDF.len()})
    );
    let file = format!("/v1/filings/{id}/attachments/3");
    assert_eq!(told(&reviewer.get(&file).await), refused(404, "filing_unknown"), "not while it is a draft");
    applicant.does(&id, "submit", "submitted").await;
    assert_eq!(
        told(&applicant.attach(&id, "other", "application/pdf", PDF.as_bytes()).await),
        refused(409, "filing_step_refused")
    );
    // Seen by its applicant and by who has the filing in review, as a download and nothing else.
    assert_eq!(told(&reviewer.get(&file).await), refused(409, "filing_not_claimed"));
    assert_eq!(told(&other.get(&file).await), refused(404, "filing_unknown"));
    reviewer.does(&id, "claim", "under_review").await;
    assert_eq!(told(&second.get(&file).await), refused(409, "filing_not_claimed"));
    for person in [&reviewer, &applicant] {
        let read = person.get(&file).await;
        assert_eq!((read.status.as_u16(), read.text().as_str()), (200, PDF));
        assert_eq!(
            (read.header("content-type"), read.header("x-content-type-options")),
            ("application/pdf", "nosniff")
        );
        assert!(
            read.header("content-disposition").starts_with("attachment; ")
                && read.header("content-security-policy").contains("sandbox")
        );
        assert_eq!(read.header("cache-control"), "no-store");
    }
    for none in ["1", "0", "99", "x", "99999999999", "+3", "03"] {
        let answer = reviewer.get(&format!("/v1/filings/{id}/attachments/{none}")).await;
        assert_eq!(told(&answer), refused(404, "filing_unknown"), "{none}");
    }
    covered(&world).await;
    let looks = world.get("/v1/audit?event=filing.revealed").signed().send().await.json();
    assert_eq!(looks["events"].as_array().unwrap().len(), 1, "{looks}");
    assert_eq!(
        (&looks["events"][0]["principal"], &looks["events"][0]["detail"]["seq"]),
        (&json!(reviewer.principal()), &json!(3))
    );
    // When it is not in review any more its file is not a reviewer's.
    reviewer.does(&id, "release", "submitted").await;
    assert_eq!(told(&reviewer.get(&file).await), refused(409, "filing_not_claimed"));
    // Of one applicant one file is on its way at a time.
    let place = world.node.services.filing_place(&mingpai::model::principal::Principal {
        id: applicant.principal(),
        ..mingpai::model::principal::Principal::anonymous()
    });
    assert_eq!(
        told(&applicant.attach(&id, "other", "application/pdf", PDF.as_bytes()).await),
        refused(503, "overloaded")
    );
    assert_eq!(other.draft(&form("88.999.8", "示范")).await.len(), 32, "others are not kept from it");
    drop(place);
    // What does not exist is said before its bytes are read.
    assert_eq!(
        told(&applicant.attach("nosuch", "other", "application/pdf", b"no pdf").await),
        refused(404, "filing_unknown")
    );
    // So many files, and no more.
    let many = applicant.draft(&form("88.999.8", "示范")).await;
    for _ in 0..10 {
        assert_eq!(applicant.attach(&many, "other", "application/pdf", PDF.as_bytes()).await.status, 201);
    }
    assert_eq!(
        told(&applicant.attach(&many, "other", "application/pdf", PDF.as_bytes()).await),
        refused(409, "filing_too_many")
    );
    // They are there after a restart.
    let key = applicant.key.clone();
    let world = world.restarted(ONE).await;
    assert_eq!(by(world.get(&file), &key).send().await.text(), PDF);
}

#[tokio::test]
async fn an_applicant_makes_the_keys_of_what_it_was_allocated_and_of_nothing_else() {
    let world = World::configured(ONE).await;
    let (mine, other) = (Person::new(&world, "applicant").await, Person::new(&world, "applicant").await);
    let reviewer = Person::new(&world, "reviewer").await;
    let make = async |person: &Person<'_>, role: &str, prefix: Option<&str>| {
        let mut body = json!({"role": role});
        if let Some(prefix) = prefix {
            body["prefixes"] = json!([prefix]);
        }
        by(world.ask(Method::POST, "/v1/keys"), &person.key).json(&body).send().await
    };
    // Known, and asked with, before anything is allocated.
    assert_eq!(told(&make(&mine, "owner", Some("88.999.1")).await), refused(403, "forbidden"));
    assert_eq!(mine.get("/v1/keys").await.json()["keys"], json!([]));
    let id = mine.submitted(&form("88.999.7", "示范")).await;
    assert_eq!(told(&make(&mine, "owner", Some("88.999.7")).await), refused(403, "forbidden"));
    reviewer.does(&id, "claim", "under_review").await;
    reviewer.does(&id, "approve", "approved").await;
    let made = make(&mine, "owner", Some("88.999.7")).await;
    assert_eq!((made.status.as_u16(), &made.json()["maker"]), (201, &json!(mine.principal())), "{}", made.text());
    let owner = made.json()["key"].as_str().unwrap().to_owned();
    let put = world.ask(Method::PUT, "/v1/records/88.999.7/a").header("authorization", &format!("Bearer {owner}"));
    assert_eq!(put.json(&part("一")).send().await.status, 201);
    // The applicant's own key registers nothing, and sees no record whole.
    let put = by(world.ask(Method::PUT, "/v1/records/88.999.7/b"), &mine.key).json(&part("一"));
    assert_eq!(told(&put.send().await), refused(403, "forbidden"));
    for (role, prefix) in [
        ("owner", Some("88.999.1")),
        ("owner", Some("88.999")),
        ("reader", Some("88.999.70")),
        ("applicant", None),
        ("reviewer", None),
        ("auditor", None),
        ("administrator", None),
    ] {
        assert_eq!(told(&make(&mine, role, prefix).await), refused(403, "forbidden"), "{role} {prefix:?}");
    }
    assert_eq!(told(&make(&other, "owner", Some("88.999.7")).await), refused(403, "forbidden"));
    // It sees and revokes the keys of its prefix, and no others.
    let keys = mine.get("/v1/keys").await.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.iter().map(|key| key["prefixes"].clone()).collect::<Vec<_>>(), [json!(["88.999.7"])]);
    let target = format!("/v1/keys/{}", keys[0]["id"].as_str().unwrap());
    assert_eq!(told(&by(world.ask(Method::DELETE, &target), &other.key).send().await), refused(404, "key_unknown"));
    assert_eq!(by(world.ask(Method::DELETE, &target), &mine.key).send().await.status, 204);
    let key = mine.key.clone();
    let world = world.restarted(ONE).await;
    let again = by(world.ask(Method::POST, "/v1/keys"), &key).json(&json!({"role": "owner", "prefixes": ["88.999.7"]}));
    assert_eq!(again.send().await.status, 201, "after a restart");
}
