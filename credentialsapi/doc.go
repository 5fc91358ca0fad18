// Package credentialsapi fetches the login of an SFTP server from an API, as
// Flatfile's page describes it:
//
//	GET {url}?spaceId={space_id}
//	Authorization: Bearer {secret_key}
//
//	{"data": {"username": "…", "password": "…", "host": "…", "port": "22"}}
//
// A login is kept in memory only, until the server has refused it. Neither the
// password nor the secret key can be printed, logged or marshalled by accident.
package credentialsapi
