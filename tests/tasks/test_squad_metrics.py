import pytest

from bert_jax.tasks.squad_metrics import exact_match, normalize_answer, overlap_f1


@pytest.mark.parametrize(
    ("text", "squad", "korquad"),
    [
        ("The  Cat!", "cat", "the cat"),
        ("a theory, an answer", "theory answer", "a theory an answer"),
        ("Fermat's (last)\ttheorem", "fermats last theorem", "fermat s last theorem"),
        ("U.S.-born", "usborn", "usborn"),
        ("《훈민정음》(1446년)", "《훈민정음》1446년", "훈민정음 1446년"),
        ("‘한글’ 〈상〉", "‘한글’ 〈상〉", "한글 상"),
        ("1,446년.", "1446년", "1446년"),
        ("the", "", "the"),
    ],
)
def test_each_script_has_its_own_normal_form(text, squad, korquad):
    assert normalize_answer(text) == squad
    assert normalize_answer(text, korquad=True) == korquad


@pytest.mark.parametrize(
    ("predicted", "gold", "f1", "match"),
    [
        ("the cat", "Cat.", 1, 1),
        ("cat sat", "cat sat on mat", 2 * 2 / 6, 0),
        ("cat cat", "cat", 2 * 1 / 3, 0),  # each word as often as it occurs in both
        ("Fermat", "Fermat's Last Theorem", 0, 0),
        ("세종대왕이", "세종대왕", 0, 0),
        ("", "", 1, 1),
        ("", "cat", 0, 0),
        ("the", "", 1, 1),
    ],
)
def test_squads_scores_by_hand(predicted, gold, f1, match):
    assert overlap_f1(predicted, gold) == pytest.approx(f1)
    assert exact_match(predicted, gold) == match


@pytest.mark.parametrize(
    ("predicted", "gold", "f1", "match"),
    [
        ("세종대왕이", "세종대왕", 2 * 4 / 9, 0),
        ("세종 대왕", "세종대왕", 1, 0),  # spaces split words in exact_match; F1 ignores them
        ("가나다", "다나가", 1, 0),  # the order does not count
        ("가가", "가", 2 * 1 / 3, 0),
        ("《한글》", "한글", 1, 1),
        ("한글", "영어", 0, 0),
        ("the cat", "cat", 2 * 3 / 9, 0),
    ],
)
def test_korquads_scores_by_hand(predicted, gold, f1, match):
    assert overlap_f1(predicted, gold, korquad=True) == pytest.approx(f1)
    assert exact_match(predicted, gold, korquad=True) == match
