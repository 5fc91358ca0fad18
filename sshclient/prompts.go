package sshclient

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// prompts answers the questions of keyboard-interactive (RFC 4256), any number of them.
// A question that comes a second time was answered wrongly. It is not answered again,
// so that no account is locked.
type prompts struct {
	cfg      Config
	patterns []string // of Config.Answers, the longest first
	answered bool     // the password went out, in an earlier round
	matched  bool     // a pattern has answered a question for a password
	given    map[string]bool
	rounds   int
	empty    string // a question that got an empty answer
}

// maxRounds is how often a server may ask.
const maxRounds = 20

func newPrompts(cfg Config) prompts {
	patterns := slices.SortedFunc(maps.Keys(cfg.Answers), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	return prompts{cfg: cfg, patterns: patterns, given: make(map[string]bool)}
}

// answer answers one round.
func (p *prompts) answer(questions []string, echos []bool) ([]string, error) {
	if p.rounds++; p.rounds > maxRounds {
		return nil, &loginError{text: "the server asks questions without end"}
	}
	answers := make([]string, len(questions))
	gave := false
	for i, q := range questions {
		answer, password, err := p.answerOne(q, echos[i], len(questions) == 1)
		if err != nil {
			return nil, err
		}
		answers[i], gave = answer, gave || password
	}
	for i, q := range questions {
		if answers[i] != "" {
			p.given[q] = true
		}
	}
	p.answered = p.answered || gave
	return answers, nil
}

// answerOne answers one question; password tells that the answer is the password.
func (p *prompts) answerOne(question string, echo, alone bool) (answer string, password bool, err error) {
	asked := func(format string) error {
		return &loginError{text: fmt.Sprintf(format, p.cfg.quote(question))}
	}
	kind := kindOf(question, echo)
	switch pattern, ok := p.pattern(question); {
	case p.given[question]:
		return "", false, asked("the server asks %s again: the password or another answer is wrong")
	case kind == promptNew, kind == promptOld && (p.answered || p.matched):
		return "", false, errExpired(p.cfg) // an answer by a pattern would become the account's new password
	case ok:
		p.matched = p.matched || kind == promptPassword
		return p.cfg.Answers[pattern], false, nil
	case kind == promptUser:
		return p.cfg.Username, false, nil
	case kind == promptOther && echo:
		p.empty = question // many are "press Enter", or may be left out
		return "", false, nil
	case kind == promptPassword && p.answered:
		return "", false, asked("the server asks %s after the password: the password is wrong")
	case kind == promptCode, kind == promptPIN && !alone, p.answered, p.cfg.Password == "":
		return "", false, p.unanswered(question)
	}
	return p.cfg.Password, true, nil
}

// unanswered is the error of a question without a configured answer.
func (p *prompts) unanswered(question string) error {
	text := fmt.Sprintf("the server asks %s, which there is no answer for", p.cfg.quote(question))
	if p.cfg.hop {
		return &loginError{text: text, hint: "Ask for a login at sftp.proxy_jump by password or key alone."}
	}
	return &loginError{text: text, hint: "If the answer is always the same, give it in sftp.interactive_answers, " +
		`as in {"Second answer*": "…"}; where it is a code that changes, ask for a login without one.`}
}

// pattern finds the pattern of Config.Answers that matches a question: a part of the
// question, or a glob with * and ? for all of it, without regard to case.
func (p *prompts) pattern(question string) (string, bool) {
	question = strings.ToLower(strings.TrimSpace(question))
	for _, pattern := range p.patterns {
		lower := strings.ToLower(strings.TrimSpace(pattern))
		if strings.Contains(question, lower) || globOf(lower).MatchString(question) {
			return pattern, true
		}
	}
	return "", false
}

func globOf(pattern string) *regexp.Regexp {
	expression := regexp.QuoteMeta(pattern)
	expression = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(expression)
	return regexp.MustCompile(`(?s)^` + expression + `$`)
}

// promptKind is what a question asks for.
type promptKind int

const (
	promptOther promptKind = iota
	promptPassword
	promptUser
	promptNew  // a new password
	promptOld  // the password that is to be replaced
	promptCode // one that changes each time
	promptPIN  // one that may or may not change
)

// kindOf recognises a question by its words, in languages that servers use, and by its
// echo, which some servers set for passwords too.
func kindOf(question string, echo bool) promptKind {
	text := strings.ToLower(question)
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	has := func(of ...string) bool {
		return slices.ContainsFunc(of, func(w string) bool { return slices.Contains(words, w) })
	}
	contains := func(of ...string) bool {
		return slices.ContainsFunc(of, func(part string) bool { return strings.Contains(text, part) })
	}
	password := contains("password", "passwd", "passphrase", "passwort", "kennwort", "mot de passe", "contraseña",
		"senha", "palavra-passe", "wachtwoord", "lösenord", "passord", "adgangskode", "salasana", "hasło", "heslo",
		"jelszó", "parola", "пароль", "パスワード", "密码", "密碼", "비밀번호", "암호")
	switch {
	case password && (contains("新", "새") || has("new", "retype", "neues", "neue", "nouveau", "nueva", "nova", "nuova", "nieuw",
		"nytt", "nya", "nyt", "ny", "uusi", "nowe", "nové", "új", "yeni", "новый")):
		return promptNew
	case password && has("current", "old", "aktuelles", "altes", "actuel", "ancien", "actual", "attuale", "huidig"):
		return promptOld
	case contains("one-time", "one time", "verification", "authenticator") || has("otp", "code", "token", "tan", "totp"):
		return promptCode
	case password:
		return promptPassword
	case has("pin", "passcode"):
		return promptPIN
	case echo && (has("user", "login", "account", "utilisateur", "usuario", "usuário", "utente") ||
		contains("username", "benutzer", "gebruiker", "användar", "bruker", "użytkownik", "пользовател", "ユーザ", "用户", "사용자")):
		return promptUser
	}
	return promptOther
}
