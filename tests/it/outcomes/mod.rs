//! Thirteen answers of a provider × five moments × three kinds of look-ups: each combination takes the money
//! at most once, loses none of it, and comes to rest where `expected` says; the real charge step at work.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod expected;

use std::sync::Arc;

use monthend::domain::payment::ChargeRequest;
use monthend::jobs::StepKind;
use monthend::jobs::requests;
use monthend::jobs::runner::Runner;
use monthend::services::purchases::{self, Wanted};
use monthend::storage::claims::{self, Claim};
use monthend::storage::steps::{self, Step};
use tokio_util::sync::CancellationToken;

use self::expected::{ANSWERS, Case, Moment, Stand, early, late};
use crate::harness::scripted::{Answer, LookUps, Script, Scripted};
use crate::harness::world::{execute, whole};
use crate::harness::{Org, World, both_engines};

fn name(moment: Moment, answer: &str) -> String {
    format!("{}-{answer}", moment.word())
}

fn cases(look_ups: LookUps) -> Vec<(String, Case)> {
    let of = |moment: Moment| {
        ANSWERS.map(|(word, answer)| (name(moment, word), Case { moment, answer, look_ups }))
    };
    Moment::ALL.into_iter().flat_map(of).collect()
}

/// How the n-th attempt of a case goes.
fn plot(cases: &[(String, Case)], request: &ChargeRequest, nth: usize) -> Script {
    let (_, case) = cases.iter().find(|(id, _)| *id == request.organization).unwrap();
    let scripted = usize::from(case.moment == Moment::Second);
    let plain = |answer| Script { answer, look_ups: LookUps::Truth, kills: false };
    match nth {
        nth if nth < scripted => plain(Answer::SoftDecline),
        nth if nth > scripted => plain(Answer::Succeeds),
        _ => Script {
            answer: case.answer,
            look_ups: case.look_ups,
            kills: matches!(case.moment, Moment::Killed | Moment::Restored),
        },
    }
}

/// All charge steps, claimed by a process that will not finish them.
async fn claim_charges(world: &World) -> Vec<Step> {
    let app = world.app();
    let now = app.clock.now();
    let rank = StepKind::Charge.rank();
    let claim = Claim {
        owner: "mortal",
        now,
        lease_until: now + app.lease(),
        min_rank: rank,
        max_rank: rank,
        limit: 1_000,
        run: None,
    };
    let mut tx = app.db.write().await.unwrap();
    let claimed = claims::claim(&mut tx, &claim).await.unwrap();
    tx.commit().await.unwrap();
    claimed.into_iter().map(|claimed| claimed.step).collect()
}

/// Everything is closed and issued; of some the charge is sent by a process that is killed before the
/// answer, and of some of these the database goes back to before it was sent.
async fn kill_some(world: &World, provider: &Scripted) {
    let runner = Runner::new(world.app(), CancellationToken::new()).unwrap();
    runner.up_to(StepKind::CheckMethod).tick(None).await.unwrap();
    let mut killed = 0;
    for step in claim_charges(world).await {
        let organization = step.organization.clone().unwrap();
        let dies = [Moment::Killed, Moment::Restored]
            .iter()
            .any(|moment| organization.starts_with(&format!("{}-", moment.word())));
        if !dies {
            let mut tx = world.app().db.write().await.unwrap();
            let now = world.app().clock.now();
            steps::release(&mut tx, &step, now, None).await.unwrap();
            tx.commit().await.unwrap();
            continue;
        }
        let app = world.app();
        let process = tokio::spawn(async move { execute(&app, &step).await });
        killed += 1;
        provider.deaths(killed).await;
        process.abort();
        assert!(process.await.unwrap_err().is_cancelled());
    }
    assert_eq!(killed, 2 * ANSWERS.len());
    assert_eq!(world.count("charge WHERE state = 'sent'").await, 26);
    let restored = format!("organization LIKE '{}-%'", Moment::Restored.word());
    for sql in [
        "UPDATE charge SET state = 'intended', first_sent_at = NULL WHERE",
        "UPDATE step SET state = 'ready', owner = NULL, lease_until = NULL, epoch = 0, attempts = 0 \
         WHERE kind = 'charge' AND",
    ] {
        let touched = world.execute(&format!("{sql} {restored}")).await.unwrap();
        assert_eq!(touched, 13, "{sql}");
    }
    world.pass(world.app().lease().num_seconds() + 1);
}

/// Where a case stands, and whether the money here is the money there.
async fn stands(world: &World, provider: &Scripted, id: &str, case: &Case) -> Stand {
    let text = async |sql: String| -> String {
        let rows = world.table(&sql).await;
        assert!(rows.len() <= 1, "{id}: {rows:?}");
        rows.concat().concat()
    };
    let moved = provider.moved(id);
    let attempts = world.count(&format!("charge WHERE organization = '{id}'")).await;
    let parked = world.parked().await;
    let parked: Vec<&Step> =
        parked.iter().filter(|step| step.organization.as_deref() == Some(id)).collect();
    let (status, payment, reference) = if case.moment == Moment::Purchase {
        let purchase = text(format!("SELECT id FROM purchase WHERE organization = '{id}'")).await;
        let stored = purchases::get(&world.app(), id, &purchase).await.unwrap();
        let payment = purchases::status(&world.app(), &stored).await.unwrap();
        let bought = i64::from(payment == "paid") * 100;
        assert_eq!(world.balance(id).await.available, whole(500 + bought), "{id}");
        ("purchase".to_owned(), payment, purchase)
    } else {
        let row = world.invoice(id).await;
        (row.status, row.payment_status, row.number.unwrap())
    };
    for step in &parked {
        let reason = step.error.clone().unwrap_or_default();
        assert!(reason.contains(&reference), "{id}: {reason}");
    }
    let booked =
        "SELECT CAST(COALESCE(SUM(amount), 0) AS TEXT) FROM ledger_entry WHERE account = 'cash'";
    let booked: i64 = text(format!("{booked} AND organization = '{id}'")).await.parse().unwrap();
    let taken: i64 = moved.iter().map(|moved| moved.minor).sum();
    // Nothing is booked that was not taken; nothing taken is lost, or a person is told of it.
    let told = !parked.is_empty();
    assert!(booked == taken || (booked == 0 && told), "{id}: {booked} here, {moved:?} there");
    let dunning = text(format!("SELECT state FROM dunning WHERE organization = '{id}'")).await;
    Stand { status, payment, captures: moved.len(), attempts, dunning, parked: told }
}

/// All cases of some moments that do not stand where they must.
async fn astray(
    world: &World,
    provider: &Scripted,
    cases: &[(String, Case)],
    expected: fn(&Case) -> Stand,
) -> Vec<String> {
    let mut astray = Vec::new();
    for (id, case) in cases {
        let (is, must) = (stands(world, provider, id, case).await, expected(case));
        if is != must {
            astray.push(format!("{id}, {:?}:\n  is   {is:?}\n  must {must:?}", case.look_ups));
        }
    }
    astray
}

async fn drive(world: &World, minutes: i64, times: usize) {
    for _ in 0..times {
        world.pass(minutes * 60);
        world.tick(None).await.unwrap();
    }
}

async fn every_combination(world: Arc<World>, look_ups: LookUps) {
    let cases = cases(look_ups);
    world.set_clock("2026-01-01T09:00:00Z");
    let org = |(id, case): &(String, Case)| {
        let plan = if case.moment == Moment::Purchase { "starter" } else { "standard" };
        Org::new(id, plan, "2026-01-01").pays("ok")
    };
    world.organizations(&cases.iter().map(org).collect::<Vec<_>>()).await;
    let known = cases.clone();
    let script = move |request: &ChargeRequest, nth| plot(&known, request, nth);
    let provider = Scripted::new(world.app().clock.clone(), script);
    world.collect_by(provider.clone()).await;
    world.set_clock("2026-02-01T02:00:00Z");
    kill_some(&world, &provider).await;
    world.tick(None).await.unwrap();
    for (id, case) in &cases {
        if case.moment == Moment::Purchase {
            let wanted = Wanted::Credits(whole(100));
            requests::buy(&world.app(), id, &wanted).await.unwrap();
        }
    }
    drive(&world, 10, 12).await;
    drive(&world, 60, 16).await;
    let (second, others): (Vec<_>, Vec<_>) =
        cases.iter().cloned().partition(|(_, case)| case.moment == Moment::Second);
    let mut wrong = astray(&world, &provider, &others, early).await;
    drive(&world, 60, 24).await;
    wrong.extend(astray(&world, &provider, &second, early).await);
    let parked = |case: &Case| matches!(case.answer, Answer::OtherAmount | Answer::Misuse);
    let sent = |id: &String| provider.sends(id);
    let silent: Vec<_> =
        cases.iter().filter(|(_, case)| parked(case)).map(|(id, _)| (id, sent(id))).collect();
    drive(&world, 360, 4 * 24).await;
    wrong.extend(astray(&world, &provider, &cases, late).await);
    assert!(wrong.is_empty(), "{} go astray:\n{}", wrong.len(), wrong.join("\n"));
    for (id, before) in silent {
        assert_eq!(sent(id), before, "{id}: something more was sent");
    }
    assert_eq!(provider.misused(), Vec::<String>::new());
    provider.be_honest();
}

// C1–C5, F62–F71, F73, F74: the provider tells the truth when it is asked.
both_engines!(asked_it_tells_the_truth, |world| {
    every_combination(world, LookUps::Truth).await;
});

// F64, F68: the line is dead for a while after each send.
both_engines!(asked_it_fails_for_a_while, |world| {
    every_combination(world, LookUps::FailFor(20)).await;
});

// F68, F71: what was sent is not listed yet when it is first asked for.
both_engines!(asked_it_lags_once, |world| {
    every_combination(world, LookUps::LagOnce).await;
});
