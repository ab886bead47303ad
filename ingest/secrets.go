package ingest

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minSecret is the shortest text that is masked wherever it occurs: shorter
// ones would blank out half of every message. In their URL they are masked
// whatever their length.
const minSecret = 3

// secretsOf lists the texts of a source that must not appear anywhere, in every
// form in which a library may repeat them, longest first.
func secretsOf(s Source) []string {
	forms := make(map[string]struct{})
	note := func(secret string) {
		for _, f := range formsOf(secret) {
			if len(f) >= minSecret {
				forms[f] = struct{}{}
			}
		}
	}
	s.shown(redactor{note: note})
	found := make([]string, 0, len(forms))
	for f := range forms {
		found = append(found, f)
	}
	// Long ones first, since they may hold short ones; always in the same order,
	// since a reload compares sources.
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	return found
}

// formsOf are the forms in which a secret can turn up: as written, decoded and
// encoded for an URL, and escaped for JSON, HTML, Go and HTTP's Basic login.
func formsOf(secret string) []string {
	plain := []string{secret}
	for _, decode := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
		if d, err := decode(secret); err == nil {
			plain = append(plain, d)
		}
	}
	out := slices.Clone(plain)
	for _, p := range plain {
		for _, encode := range []func(string) string{url.PathEscape, url.QueryEscape, userEscape, html.EscapeString, goEscape, jsonEscape} {
			e := encode(p)
			out = append(out, e, percent.ReplaceAllStringFunc(e, strings.ToLower))
		}
		b := []byte(p)
		out = append(out, base64.StdEncoding.EncodeToString(b), base64.RawStdEncoding.EncodeToString(b),
			base64.URLEncoding.EncodeToString(b), hex.EncodeToString(b))
	}
	return out
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

// userEscape encodes as for the user part of an URL, in which ':' stays.
func userEscape(s string) string {
	user, password, ok := strings.Cut(s, ":")
	if !ok {
		return url.User(s).String()
	}
	return url.UserPassword(user, password).String()
}

func goEscape(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func jsonEscape(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // of a string there is none
		return s
	}
	return string(b[1 : len(b)-1])
}
