package ingest

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// mask stands for a secret.
const mask = "***"

// minSecret is the shortest text that is masked wherever it occurs: shorter
// ones would blank out half of every message. In their URL they are masked
// whatever their length.
const minSecret = 3

var (
	urlPattern = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>]*`)
	keyPattern = regexp.MustCompile(`(?i)([\w-]*(?:pass|pwd|user-pw|user-id|token|secret|api_?key|authorization|signature)[\w-]*\s*[=:]\s*)` +
		`("[^"]*"|'[^']*'|(?:basic |digest |bearer )?[^\s"']+)`)
)

// plainKeys are the query parameters whose values are worth reading in a log
// and are no secrets.
var plainKeys = []string{"channel", "subtype", "stream", "profile", "width", "height", "fps", "frames",
	"seed", "speed", "resolution", "codec", "transport", "camera"}

// Redact masks what may be a secret in text: in URLs the user part, values of
// the query, and parts of the path that hold a token or a key=value; elsewhere
// the value behind words like password. It errs on the side of masking.
func Redact(text string) string {
	text = urlPattern.ReplaceAllStringFunc(text, redactURL)
	return keyPattern.ReplaceAllStringFunc(text, func(found string) string {
		m := keyPattern.FindStringSubmatch(found)
		if strings.HasPrefix(m[2], mask) {
			return found // it was in an URL
		}
		return m[1] + mask
	})
}

// redactURL masks the secrets of one URL. It does not parse by the book: a
// password with '/' or '#' in it is no valid URL, and must not survive.
func redactURL(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return raw
	}
	user := ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, rest = mask+"@", rest[at+1:]
	}
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	host, path, hasPath := strings.Cut(rest, "/")
	out := scheme + "://" + user + host
	if hasPath {
		out += "/" + redactPath(path)
	}
	if hasQuery {
		out += "?" + redactQuery(query)
	}
	if hasFragment && fragment != "" {
		out += "#" + mask
	}
	return out
}

func redactPath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if secretSegment(p) {
			parts[i] = mask
		}
	}
	return strings.Join(parts, "/")
}

// secretSegment reports whether a part of a path may be a secret: key=value
// forms of some cameras, and long tokens, which others use instead of a
// password.
func secretSegment(p string) bool {
	if strings.ContainsAny(p, "=&:;%") {
		return true
	}
	return len(p) >= 16 && strings.ContainsAny(p, "0123456789") &&
		strings.ContainsAny(strings.ToLower(p), "abcdefghijklmnopqrstuvwxyz")
}

func redactQuery(query string) string {
	parts := strings.Split(query, "&")
	for i, p := range parts {
		key, value, ok := strings.Cut(p, "=")
		switch {
		case !ok:
			parts[i] = mask
		case !plainParameter(key, value):
			parts[i] = mask + "=" + mask
			if isWord(key) {
				parts[i] = key + "=" + mask
			}
		}
	}
	return strings.Join(parts, "&")
}

func plainParameter(key, value string) bool {
	return slices.Contains(plainKeys, strings.ToLower(key)) && len(value) <= 16 && isWord(strings.ReplaceAll(value, ".", ""))
}

// isWord reports whether s is short and plain enough to be a parameter's name.
func isWord(s string) bool {
	if s == "" || len(s) > 24 {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '_' && s[i] != '-' {
			return false
		}
	}
	return true
}

// secretsOf lists the texts of a source that must not appear anywhere, longest
// first.
func secretsOf(raw string) []string {
	var found []string
	add := func(s string) {
		for _, v := range variants(s) {
			if len(v) >= minSecret && !slices.Contains(found, v) {
				found = append(found, v)
			}
		}
	}
	for _, u := range urlPattern.FindAllString(raw, -1) {
		secretsOfURL(u, add)
	}
	if strings.Contains(raw, "://") && !strings.HasPrefix(raw, gstreamerPrefix) {
		secretsOfURL(raw, add) // the whole text is one URL, whatever is in it
	}
	for _, m := range keyPattern.FindAllStringSubmatch(raw, -1) {
		add(strings.Trim(m[2], `"'`))
	}
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	return found
}

func secretsOfURL(u string, add func(string)) {
	_, rest, _ := strings.Cut(u, "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		add(rest[:at])
		if _, password, ok := strings.Cut(rest[:at], ":"); ok {
			add(password)
		}
		rest = rest[at+1:]
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	add(fragment)
	rest, query, _ := strings.Cut(rest, "?")
	for p := range strings.SplitSeq(query, "&") {
		key, value, ok := strings.Cut(p, "=")
		if !ok {
			add(key)
		} else if !plainParameter(key, value) {
			add(value)
		}
	}
	_, path, _ := strings.Cut(rest, "/")
	for p := range strings.SplitSeq(path, "/") {
		if secretSegment(p) {
			add(p)
			for kv := range strings.FieldsFuncSeq(p, func(r rune) bool { return r == '&' || r == '_' || r == ';' }) {
				if _, v, ok := strings.Cut(kv, "="); ok && strings.Contains(strings.ToLower(kv), "pass") {
					add(v)
				}
			}
		}
	}
}

// variants are the forms in which a secret can turn up: as written and
// percent-decoded.
func variants(s string) []string {
	if d, err := url.PathUnescape(s); err == nil && d != s {
		return []string{s, d}
	}
	return []string{s}
}
