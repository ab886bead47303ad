"""The pictures of a run and of an evaluation."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  the backend comes first
import numpy as np  # noqa: E402


def _save(fig, path):
    fig.tight_layout()
    fig.savefig(path, dpi=70)
    plt.close(fig)


def curves(rows, path, title):
    """Losses and AP50 against the step."""
    fig, (a, b) = plt.subplots(1, 2, figsize=(9, 3.2))
    x = [r["step"] for r in rows]
    for k in ("loss", "box", "object", "class"):
        a.plot(x, [float(r[k]) for r in rows], label=k)
    a.set(title=title, xlabel="step", yscale="log"), a.legend()
    b.plot(x, [r["ap50"] for r in rows])
    b.set(title="AP50 of the validation boards", xlabel="step")
    b.grid(alpha=0.3)
    _save(fig, path)


def precision_recall(scores, labels, path):
    """Precision and recall against the score threshold, IoU 0.5."""
    t = np.arange(0.05, 1.0, 0.05)
    pr = np.array([scores.precision_recall(v) for v in t])
    boards = np.array([scores.boards_at(v) for v in t], float)
    fig, (a, b) = plt.subplots(1, 2, figsize=(9, 3.2))
    a.plot(t, pr[:, 0], label="precision"), a.plot(t, pr[:, 1], label="recall")
    a.set(xlabel="score threshold", title="boxes, IoU 0.5"), a.legend(), a.grid(alpha=0.3)
    b.plot(t, 100 * boards[:, 0] / np.maximum(1, boards[:, 1]), label="escapes")
    b.plot(t, 100 * boards[:, 2] / np.maximum(1, boards[:, 3]), label="false rejects")
    b.set(xlabel="score threshold", title="boards, %", ylim=(0, 20)), b.legend(), b.grid(alpha=0.3)
    _save(fig, path)


def confusion(matrix, labels, path):
    """Truth down, answer across, "nothing" last."""
    names = [*labels, "nothing"]
    fig, a = plt.subplots(figsize=(5.2, 4.8))
    a.imshow(np.log1p(matrix), cmap="Blues")
    for (i, j), v in np.ndenumerate(matrix):
        a.text(j, i, v, ha="center", va="center", fontsize=8, color="white" if v > matrix.max() / 4 else "black")
    a.set_xticks(range(len(names)), names, rotation=45), a.set_yticks(range(len(names)), names)
    a.set(xlabel="answer", ylabel="truth")
    _save(fig, path)
