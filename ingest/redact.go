package ingest

import (
	"regexp"
	"strings"
)

// mask stands for a secret.
const mask = "***"

var (
	urlPattern = regexp.MustCompile(`["'<]?[a-zA-Z][a-zA-Z0-9+.-]*://\S*`)
	keyPattern = regexp.MustCompile(`(?i)([\w-]*(?:pass|pwd|user-pw|user-id|proxy-pw|proxy-id|token|secret|api_?key|signature)[\w-]*\s*[=:]\s*)` +
		`("[^"]*"|'[^']*'|(?:basic |digest |bearer )?\S+)`)
	// The whole answer to a challenge is a secret, of many words.
	loginPattern = regexp.MustCompile(`(?i)(authorization\s*[=:]\s*)([^\r\n]+)`)
)

// Redact masks what may be a secret in text: in URLs everything but what is
// known to be harmless (scheme, host, port, and words like stream1 or
// channel=1), elsewhere what stands behind words like password. It errs on the
// side of masking. A path of a local file is no secret.
func Redact(text string) string {
	var r redactor
	text = urlPattern.ReplaceAllStringFunc(text, r.urlInText)
	text = loginPattern.ReplaceAllString(text, "${1}"+mask)
	return keyPattern.ReplaceAllStringFunc(text, func(found string) string {
		m := keyPattern.FindStringSubmatch(found)
		if strings.HasPrefix(m[2], mask) {
			return found // it was in an URL
		}
		return m[1] + mask
	})
}

// redactor masks secrets and, if asked to, notes them: what is masked in a
// source is what must not appear in other texts either.
type redactor struct {
	note func(secret string)
}

func (r redactor) mask(secret string) string {
	if r.note != nil && secret != mask {
		r.note(secret)
	}
	return mask
}

// urlInText masks an URL in running text. In quotes it ends with them, else
// with white space: quotes are allowed in URLs.
func (r redactor) urlInText(found string) string {
	open, rest := "", ""
	if i := strings.IndexByte(`"'<`, found[0]); i >= 0 {
		open, found = found[:1], found[1:]
		if end := strings.IndexByte(found, `"'>`[i]); end >= 0 {
			found, rest = found[:end], found[end:]
		}
	}
	// Punctuation of the sentence around it, if it is not too much for that.
	bare := strings.TrimRight(found, `:,;.)]>'"`)
	if len(found)-len(bare) > 2 {
		bare = found
	}
	return open + r.url(bare) + found[len(bare):] + r.text(rest)
}

// text masks what follows an URL without white space.
func (r redactor) text(s string) string { return urlPattern.ReplaceAllStringFunc(s, r.urlInText) }

// url masks the secrets of one URL. A password with '/', '?' or '#' in it makes
// no valid URL, and must not survive: where it is not certain what is the
// host, nothing is shown.
func (r redactor) url(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return r.mask(raw)
	}
	if strings.EqualFold(scheme, "file") && (strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "localhost/")) {
		return raw
	}
	if strings.EqualFold(scheme, "synthetic") && !strings.Contains(rest, "@") {
		return raw // no camera, so no password
	}
	if !harmlessScheme(scheme) {
		scheme = r.mask(scheme)
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if strings.Contains(tail, "@") {
		r.pieces(rest)
		return scheme + "://" + mask
	}
	tail, fragment, hasFragment := strings.Cut(tail, "#")
	path, query, hasQuery := strings.Cut(tail, "?")
	out := scheme + "://" + r.authority(authority) + r.path(path)
	if hasQuery {
		out += "?" + r.query(query)
	}
	if hasFragment && fragment != "" {
		out += "#" + r.mask(fragment)
	}
	return out
}

// pieces notes all parts of an URL that cannot be taken apart for certain.
func (r redactor) pieces(s string) {
	r.mask(s)
	for at := range strings.SplitSeq(s, "@") {
		r.mask(at)
	}
	for p := range strings.FieldsFuncSeq(s, func(c rune) bool { return strings.ContainsRune("/?#&=@:", c) }) {
		if !harmless(p) {
			r.mask(p)
		}
	}
}

func (r redactor) authority(s string) string {
	user := ""
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		user = r.mask(s[:at]) + "@"
		for p := range strings.SplitSeq(s[:at], ":") {
			r.mask(p)
		}
		if _, password, ok := strings.Cut(s[:at], ":"); ok {
			r.mask(password)
		}
		s = s[at+1:]
	}
	if s != "" && !hostPattern.MatchString(s) {
		s = r.mask(s)
	}
	return user + s
}

// hostPattern is a host as cameras have them, and perhaps a port.
var hostPattern = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\])(:[0-9]{1,5})?$`)

func (r redactor) path(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if p == "" || harmless(p) {
			continue
		}
		parts[i] = r.mask(p)
		r.assignments(p)
	}
	return strings.Join(parts, "/")
}

// assignments notes the values in forms such as
// user=admin_password=geheim_channel=1 of some cameras' paths.
func (r redactor) assignments(segment string) {
	if !strings.Contains(segment, "=") {
		return
	}
	for kv := range strings.FieldsFuncSeq(segment, func(c rune) bool { return c == '&' || c == '_' || c == ';' }) {
		if key, v, ok := strings.Cut(kv, "="); ok && !isIn(plainKeys, key) {
			r.mask(v)
		}
	}
}

func (r redactor) query(query string) string {
	parts := strings.Split(query, "&")
	for i, p := range parts {
		key, value, ok := strings.Cut(p, "=")
		switch {
		case p == "" || !ok && harmless(p):
			continue
		case !ok:
			parts[i] = r.mask(p)
			continue
		case !isIn(plainKeys, key) && !isIn(secretKeys, key):
			key = r.mask(key)
		}
		if value != "" && !(isIn(plainKeys, key) && harmlessValue(value)) {
			value = r.mask(value)
		}
		parts[i] = key + "=" + value
	}
	return strings.Join(parts, "&")
}
