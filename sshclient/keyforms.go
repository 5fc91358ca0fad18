package sshclient

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keyForm is a file that holds no private key that can be used here: what it
// holds, and what to do about it.
type keyForm struct{ what, advice string }

func (f *keyForm) Error() string { return "it is " + f.what + ": " + f.advice }

// Advice that several forms share. FILE is the file, NEW one that is made.
const (
	adviceNewKey = "make an Ed25519 key with 'ssh-keygen -t ed25519 -f NEW', and give the server NEW.pub"
	advicePublic = "name the private key's file, which has no .pub behind its name"
)

// typeDSA is the type of DSA keys (RFC 4253, section 6.6).
const typeDSA = "ssh-dss"

// Forms of keys that several formats have.
var (
	errPublicKey     = &keyForm{"a public key", advicePublic}
	errDSA           = &keyForm{"a DSA key, which SSH servers no longer take", adviceNewKey}
	errFIDO          = &keyForm{"a key that lives on a FIDO security key, which has to be touched at each login", adviceNewKey}
	errCurve         = &keyForm{"an EC key on another curve than SSH has (P-256, P-384, P-521)", adviceNewKey}
	errExplicitCurve = &keyForm{"an EC key that spells out its curve", "name it with 'openssl ec -param_enc named_curve -in FILE -out NEW'"}
	errCertAlone     = &keyForm{"a certificate without its private key", "name the private key's file; the certificate may stand in it, or beside it in KEYFILE-cert.pub"}
	errPPKVersion    = &keyForm{"a PuTTY key of a version that is not known", "save it with 'puttygen FILE --ppk-param version=3 -o NEW', or convert it with 'puttygen FILE -O private-openssh -o NEW'"}
)

// markedForms are told by words in the file.
var markedForms = []struct {
	mark string
	form *keyForm
}{
	{"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY", &keyForm{"an SSH2 private key of ssh.com (Tectia)", "convert it with 'puttygen FILE -O private-openssh -o NEW', or, if it has no passphrase, with 'ssh-keygen -i -f FILE > NEW'"}},
	{"---- BEGIN SSH2 PUBLIC KEY", errPublicKey},
	{"SSH PRIVATE KEY FILE FORMAT 1.1", &keyForm{"a key of SSH version 1, which no server takes", adviceNewKey}},
	{"-----BEGIN PGP ", &keyForm{"a key or message of OpenPGP, not of SSH", adviceNewKey}},
	{"$ANSIBLE_VAULT", &keyForm{"encrypted with Ansible Vault", "decrypt it with 'ansible-vault decrypt FILE'"}},
	{"age-encryption.org", &keyForm{"encrypted with age", "decrypt it with 'age -d -o NEW FILE'"}},
	{`"kty"`, &keyForm{"a JSON Web Key", "convert it into PEM"}},
	{"\xfe\xed\xfe\xed", &keyForm{"a Java key store", "take the key out with 'keytool -importkeystore -srckeystore FILE -destkeystore NEW.p12' and 'openssl pkcs12 -nodes -nocerts -in NEW.p12 -out NEW'"}},
	{"<html", &keyForm{"a web page", "it was not the key that was downloaded"}},
}

// pemForms are the types of PEM blocks that hold no private key.
var pemForms = map[string]*keyForm{
	"PUBLIC KEY": errPublicKey, "RSA PUBLIC KEY": errPublicKey, "EC PUBLIC KEY": errPublicKey,
	"CERTIFICATE": errCertAlone, "X509 CERTIFICATE": errCertAlone, "TRUSTED CERTIFICATE": errCertAlone,
	"CERTIFICATE REQUEST": {"a certificate request", "name the private key's file"},
	"EC PARAMETERS":       {"the parameters of a key without the key", "make the key with 'openssl ecparam -genkey', or with 'ssh-keygen -t ecdsa -f NEW'"},
	"TSS2 PRIVATE KEY":    {"a key that lives in a TPM", adviceNewKey},
}

// formOf says what a text without a private key is instead.
func formOf(text string, blocks []keyBlock) error {
	if strings.TrimSpace(text) == "" {
		return &keyForm{"empty", "it should hold a private key"}
	}
	for _, m := range markedForms {
		if strings.Contains(text, m.mark) {
			return m.form
		}
	}
	if certificateIn(text) != nil {
		return errCertAlone
	}
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text)); err == nil {
		return errPublicKey
	}
	var form error
	for _, b := range blocks {
		known, ok := pemForms[b.kind]
		if !ok {
			return fmt.Errorf("%w: it is a PEM file of the type %q", errNoKey, b.kind)
		}
		if form == nil || errors.Is(form, pemForms["EC PARAMETERS"]) {
			form = known
		}
	}
	if form != nil {
		return form
	}
	return errNoKey
}

// derForm says what a binary file is that is no private key.
func derForm(data []byte) error {
	var store struct {
		Version int
		Rest    []asn1.RawValue `asn1:"optional"`
	}
	if _, err := x509.ParseCertificate(data); err == nil {
		return errCertAlone
	}
	if _, err := x509.ParsePKIXPublicKey(data); err == nil {
		return errPublicKey
	}
	// A PKCS #12 file starts with the number 3 (RFC 7292, section 4).
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(data, &outer); err == nil && outer.Tag == asn1.TagSequence {
		if _, err := asn1.Unmarshal(outer.Bytes, &store.Version); err == nil && store.Version == 3 {
			return &keyForm{"a PKCS #12 file (.p12, .pfx)", "take the key out with 'openssl pkcs12 -nodes -nocerts -in FILE -out NEW'"}
		}
	}
	return errNoKey
}

// pkcs8Form says why a PKCS #8 key cannot be used, by its algorithm. Encryption in CBC
// mode does not tell that a byte was changed, so an algorithm or a curve that is not
// known is taken for damage.
func pkcs8Form(der []byte) error {
	var key struct {
		Version   int
		Algorithm asn1.RawValue
		Rest      []asn1.RawValue `asn1:"optional"`
	}
	var algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 {
		return errDamaged
	}
	after, err := asn1.Unmarshal(outer.Bytes, &key.Version)
	if err != nil {
		return errDamaged
	}
	if _, err := asn1.Unmarshal(after, &algorithm); err != nil {
		return errDamaged
	}
	switch algorithm.OID.String() {
	case "1.2.840.10040.4.1":
		return errDSA
	case "1.2.840.10045.2.1":
		return curveForm(algorithm.Parameters)
	case "1.2.840.113549.1.1.10":
		return &keyForm{"an RSA-PSS key, which SSH has not", adviceNewKey}
	case "1.3.101.110", "1.3.101.111", "1.3.101.113":
		return &keyForm{"an X25519, X448 or Ed448 key, which SSH servers do not take", adviceNewKey}
	case "1.2.840.113549.1.1.1":
		return errDamaged
	}
	return fmt.Errorf("%w (or it is a key of the algorithm %s, which SSH has not)", errDamaged, algorithm.OID)
}

// otherCurves are the arcs under which the curves stand that SSH has not: those of
// SECG and ANSI X9.62, Brainpool's, and SM2's.
var otherCurves = []string{"1.3.132.0.", "1.2.840.10045.3.", "1.3.36.3.3.2.8.1.1.", "1.2.156.10197.1.301"}

// curveForm says why an EC key cannot be used, by the parameters that name its curve
// (RFC 5480, section 2.1.1).
func curveForm(parameters asn1.RawValue) error {
	if parameters.Class == asn1.ClassUniversal && parameters.Tag == asn1.TagSequence {
		return errExplicitCurve
	}
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(parameters.FullBytes, &oid); err == nil {
		for _, arc := range otherCurves {
			if strings.HasPrefix(oid.String(), arc) {
				return errCurve
			}
		}
	}
	return errDamaged
}

// isDER tells whether data is one whole ASN.1 sequence, as each binary key is.
func isDER(data []byte) bool {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(data, &outer)
	return err == nil && len(bytes.Trim(rest, "\x00")) == 0 && outer.Tag == asn1.TagSequence
}
