package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/interapp"
	"sftpconnector/space"
)

// pathSFTPCredentials is where programs fetch the credentials of a Space. Its
// form is that of the Flatfile API, whose clients expect it to the letter.
const pathSFTPCredentials = "/v1/auth/sftp-credentials"

// secretKey is the name of its security scheme.
const secretKey = "secretKey"

// credentialRoutes are the credentials that programs fetch.
type credentialRoutes struct{ *Server }

// sftpCredentials makes new credentials for whoever has a secret key of the
// Space. All refusals are the same, in their body, their headers and, as far as
// we can help it, their time: who asks learns nothing of keys and Spaces.
func (s credentialRoutes) sftpCredentials(w http.ResponseWriter, r *http.Request) {
	if s.spaces == nil {
		writeProblem(w, http.StatusNotFound, errNoSpaces.Error())
		return
	}
	if r.Method != http.MethodGet { // the mux takes HEAD for one, and each call makes a password
		w.Header().Set("Allow", http.MethodGet)
		writeProblem(w, http.StatusMethodNotAllowed, r.URL.Path+" takes GET.")
		return
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		key = ""
	}
	id := r.URL.Query().Get("spaceId")
	name, ok := s.spaces.Authorize(strings.TrimSpace(key), id)
	note(w, name)
	if !ok {
		s.refuseCredentials(w, r)
		return
	}
	login, err := s.spaces.Create(r.Context(), id, name)
	switch {
	case errors.Is(err, space.ErrUnknown): // it went a moment ago
		s.refuseCredentials(w, r)
		return
	case err != nil:
		s.log.Error("credentials could not be made", "space", id, "error", err)
		writeProblem(w, http.StatusInternalServerError, "The credentials could not be made; the daemon's log says why.")
		return
	}
	s.log.Info("credentials fetched", "space", id, "key", name, "id", login.ID, "address", s.clientAddress(r))
	noteConnector(r.Context(), interapp.SpaceConnector(id))
	noteDetail(r.Context(), "password %s, by the secret key %s", login.ID, name)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// The client may be gone; the password then is one that nobody has.
	_ = json.NewEncoder(w).Encode(interapp.SFTPCredentials{Data: login.Message().Login})
}

// refuseCredentials answers who has no key for the Space.
func (s credentialRoutes) refuseCredentials(w http.ResponseWriter, r *http.Request) {
	s.refused(r, credentialsRefused)
	w.Header().Set("WWW-Authenticate", `Bearer realm="sftp-connector"`)
	writeProblem(w, http.StatusUnauthorized,
		"Send a key of space_server.secret_keys that opens the Space, in the header 'Authorization: Bearer KEY', and the Space as ?spaceId=ID.")
}

// describeSFTPCredentials documents it: huma, which would tell refusals apart,
// does not serve it.
func describeSFTPCredentials(api huma.API) {
	refused := &huma.Schema{Ref: reference[huma.ErrorModel](api).Ref}
	problem := func(description string) *huma.Response {
		return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/problem+json": {Schema: refused}}}
	}
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "sftp-credentials", Method: http.MethodGet, Path: pathSFTPCredentials, Tags: []string{tagSpaces},
		Summary: "Fetch credentials with a secret key",
		Description: "Makes a new password at each call. It works beside the older ones, of which eight work at most. " +
			"It asks for a key of space_server.secret_keys, not for a token. A wrong key, a foreign Space and an unknown one are the same 401, which comes the later the more often it came.",
		Security: []map[string][]string{{secretKey: {}}},
		Parameters: []*huma.Param{{
			Name: "spaceId", In: "query", Required: true, Description: "The Space", Example: "us_sp_123", Schema: &huma.Schema{Type: huma.TypeString},
		}},
		Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: jsonBody[interapp.SFTPCredentials](api)},
			"401": problem("No key that opens the Space"),
			"404": problem("This program receives no uploads"),
			"500": problem("The credentials could not be made"),
		},
	})
}
