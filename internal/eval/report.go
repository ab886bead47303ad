package eval

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// JSON writes the result as one indented JSON object.
func (r *Result) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// Text writes the result as aligned tables for a terminal.
func (r *Result) Text(w io.Writer) error {
	var b strings.Builder
	r.writeHead(&b)
	r.writeScores(&b)
	r.writeClasses(&b)
	r.writeConfusion(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) writeHead(b *strings.Builder) {
	fmt.Fprintf(b, "Data       %s (%s): %d pictures, %d classes, %d objects", r.Data.Path, r.Data.Format, r.Data.Pictures, r.Data.Classes, r.Data.Objects)
	if r.Data.Optional > 0 {
		fmt.Fprintf(b, ", %d more that need not be found", r.Data.Optional)
	}
	fmt.Fprintf(b, "\nJudged     %d pictures, %d detections\n", r.Judged, r.Found)
	if n := &r.NotJudged; n.Total > 0 {
		var parts []string
		for _, status := range slices.Sorted(maps.Keys(n.ByStatus)) {
			parts = append(parts, fmt.Sprintf("%d %s", n.ByStatus[status], status))
		}
		fmt.Fprintf(b, "NOT JUDGED %d pictures are left out of every score: %s\n", n.Total, strings.Join(parts, ", "))
		writeReasons(b, n.Pictures)
	}
	if u := &r.Unfit; u.Total > 0 {
		fmt.Fprintf(b, "UNFIT      %d of the judged pictures, as the model itself says (%d with objects): nothing counts as found there,\n"+
			"           but they are neither escapes nor false rejects\n", u.Total, u.WithObjects)
		writeReasons(b, u.Pictures)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(b, "Note       %s\n", note)
	}
}

// writeReasons says of the first few pictures what the matter is.
func writeReasons(b *strings.Builder, pictures []NotScoredPicture) {
	const most = 5
	for _, p := range pictures[:min(len(pictures), most)] {
		fmt.Fprintf(b, "           %s: %s\n", p.Name, (&NotJudged{p.Status, p.Reason}).Error())
	}
	if more := len(pictures) - most; more > 0 {
		fmt.Fprintf(b, "           and %d more\n", more)
	}
}

func (r *Result) writeScores(b *strings.Builder) {
	c := &r.COCO
	fmt.Fprint(b, "\nCOCO\n")
	writeTable(b, 1, [][]string{
		{"", "IoU .50:.95", ".50", ".75", "small", "medium", "large"},
		{"AP", c.AP.String(), c.AP50.String(), c.AP75.String(), c.APSmall.String(), c.APMedium.String(), c.APLarge.String()},
	})
	writeTable(b, 1, [][]string{
		{"", "1 detection", "10", "100", "small", "medium", "large"},
		{"AR", c.AR1.String(), c.AR10.String(), c.AR100.String(), c.ARSmall.String(), c.ARMedium.String(), c.ARLarge.String()},
	})
	fmt.Fprintf(b, "\nAt IoU %s\n", iouText(r.IoU))
	fmt.Fprintf(b, "  VOC AP    %s every point, %s eleven points\n", r.VOC.EveryPoint, r.VOC.ElevenPoint)
	writePoint(b, "best F1", r.BestF1)
	if r.Chosen.Score != r.BestF1.Score {
		writePoint(b, "chosen", r.Chosen)
	}
	p := &r.Pictures
	fmt.Fprintf(b, "  pictures  %d of %d with objects escaped, %d of %d without were falsely rejected, %d of %d were unfit, at score %.3f\n",
		p.Escapes, p.WithObjects, p.FalseRejects, p.WithoutObjects, r.Unfit.Total, r.Judged, r.Chosen.Score)
	writeNames(b, "escaped", p.Escaped)
	writeNames(b, "falsely rejected", p.FalseRejected)
	r.writeThresholds(b)
}

// writeThresholds shows what another threshold would do, and what the chosen
// one does among them.
func (r *Result) writeThresholds(b *strings.Builder) {
	shown := []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99}
	points := []Point{r.Chosen}
	for _, p := range r.Curve {
		if slices.Contains(shown, p.Score) && p.Score != r.Chosen.Score {
			points = append(points, p)
		}
	}
	slices.SortFunc(points, func(a, b Point) int { return cmp.Compare(a.Score, b.Score) })
	rows := [][]string{{"score", "precision", "recall", "F1", "true", "false", "missed", ""}}
	for _, p := range points {
		mark := ""
		if p.Score == r.Chosen.Score {
			mark = "<"
		}
		rows = append(rows, []string{
			fmt.Sprintf("%.3f", p.Score), p.Precision.String(), p.Recall.String(), p.F1.String(),
			fmt.Sprint(p.True), fmt.Sprint(p.False), fmt.Sprint(p.Missed), mark,
		})
	}
	fmt.Fprintf(b, "\nThresholds at IoU %s (<: the chosen one)\n", iouText(r.IoU))
	writeTable(b, 1, rows)
}

func writePoint(b *strings.Builder, name string, p Point) {
	fmt.Fprintf(b, "  %-9s F1 %s, precision %s, recall %s at score %.3f: %d true, %d false, %d missed\n",
		name, p.F1, p.Precision, p.Recall, p.Score, p.True, p.False, p.Missed)
}

func writeNames(b *strings.Builder, what string, names []string) {
	if len(names) > 0 {
		fmt.Fprintf(b, "            %s: %s\n", what, some(names))
	}
}

// iouText writes an overlap; one made by [Above] as "> 0.33".
func iouText(iou float64) string {
	below := math.Nextafter(iou, 0)
	if text := fmt.Sprint(below); len(text) < len(fmt.Sprint(iou)) {
		return "> " + text
	}
	return fmt.Sprint(iou)
}

func (r *Result) writeClasses(b *strings.Builder) {
	fmt.Fprintf(b, "\nClasses (true, false, missed, precision, recall and F1 at score %.3f)\n", r.Chosen.Score)
	rows := [][]string{{"class", "pictures", "objects", "AP", "AP50", "AP75", "VOC AP", "true", "false", "missed", "P", "R", "F1"}}
	hidden := 0
	for i := range r.Classes {
		c := &r.Classes[i]
		if c.Objects == 0 && c.Found == 0 {
			hidden++
			continue
		}
		rows = append(rows, []string{
			c.Name, fmt.Sprint(c.Pictures), fmt.Sprint(c.Objects),
			c.AP.String(), c.AP50.String(), c.AP75.String(), c.VOC.EveryPoint.String(),
			fmt.Sprint(c.Chosen.True), fmt.Sprint(c.Chosen.False), fmt.Sprint(c.Chosen.Missed),
			c.Chosen.Precision.String(), c.Chosen.Recall.String(), c.Chosen.F1.String(),
		})
	}
	writeTable(b, 1, rows)
	if hidden > 0 {
		fmt.Fprintf(b, "  left out: classes of which these pictures show nothing and nothing was found (%d)\n", hidden)
	}
}

// widestMatrix is how many classes a terminal can show as a matrix.
const widestMatrix = 10

func (r *Result) writeConfusion(b *strings.Builder) {
	c := &r.Confusion
	if len(c.Labels)-1 > widestMatrix {
		r.writeMixUps(b)
		return
	}
	fmt.Fprintf(b, "\nConfusion at score %.3f (rows: what it is, columns: what it was found as)\n", r.Chosen.Score)
	rows := [][]string{append([]string{""}, c.Labels...)}
	for i, counts := range c.Matrix {
		row := []string{c.Labels[i]}
		for j, n := range counts {
			if i == len(c.Matrix)-1 && j == i {
				row = append(row, "")
				continue
			}
			row = append(row, fmt.Sprint(n))
		}
		rows = append(rows, row)
	}
	writeTable(b, 1, rows)
}

// writeMixUps lists the most frequent confusions of classes; the whole matrix
// is in the JSON.
func (r *Result) writeMixUps(b *strings.Builder) {
	c := &r.Confusion
	type mixUp struct{ is, as, n int }
	var all []mixUp
	for i := range len(c.Labels) - 1 {
		for j := range len(c.Labels) - 1 {
			if n := c.Matrix[i][j]; i != j && n > 0 {
				all = append(all, mixUp{i, j, n})
			}
		}
	}
	if len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b mixUp) int { return cmp.Compare(b.n, a.n) })
	fmt.Fprintf(b, "\nMost frequent confusions at score %.3f (the whole matrix is in --format json)\n", r.Chosen.Score)
	rows := [][]string{{"is", "found as", "times"}}
	for _, m := range all[:min(len(all), 10)] {
		rows = append(rows, []string{c.Labels[m.is], c.Labels[m.as], fmt.Sprint(m.n)})
	}
	writeTable(b, 2, rows)
}

// writeTable aligns rows: the first columns to the left, numbers to the right.
func writeTable(b *strings.Builder, left int, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			line.WriteString("  ")
			if i < left {
				line.WriteString(cell + pad)
			} else {
				line.WriteString(pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
