package config

import (
	"errors"
	"path"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// validate checks the "File Handling Overview". In direction upload the two ends
// have changed places.
func (f Files) validate(at *place, uploads bool) {
	if uploads {
		f.validateUpload(at)
	} else {
		f.validateDownload(at)
	}
	include := at.at("include")
	if len(f.Include) == 0 {
		include.fail("nothing would be copied; allowed: patterns such as \"*.csv\", or \"**\" for every file")
	}
	validatePatterns(f.Include, include)
	validatePatterns(f.Exclude, at.at("exclude"))
	f.validateEncoding(at, uploads)
	if f.Settle.Std() > maxSettle {
		at.at("settle").refuse("out of range; allowed: 0s (off) to 24h")
	}
}

// validateEncoding checks that the directories of the server have names there.
func (f Files) validateEncoding(at *place, uploads bool) {
	check := func(key, directory string) {
		if _, err := f.NameEncoding.Charset().Encode(directory); err != nil {
			at.at(key).refuse("it has characters that %s lacks, the encoding of name_encoding", f.NameEncoding)
		}
	}
	if uploads {
		check("destination_directory_path", f.DestinationDirectoryPath)
		return
	}
	check("source_directory_path", f.SourceDirectoryPath)
	check("after_copy", f.AfterCopy.MoveTo)
}

// validateDownload checks the way from the server to here.
func (f Files) validateDownload(at *place) {
	validateRemote(f.SourceDirectoryPath, "holds the files", at.at("source_directory_path"))
	validateTarget(f.DestinationDirectoryPath, f.SystemUsername, f.SystemPassword, at)
	if f.UploadName != UploadPending {
		at.at("upload_name").refuse("it is for direction: upload; allowed: %s", UploadPending)
	}
	to := f.AfterCopy.MoveTo
	if !path.IsAbs(to) {
		to = path.Join(f.SourceDirectoryPath, to)
	}
	if f.AfterCopy.Action == Move && f.SourceDirectoryPath != "" && path.Clean(to) == path.Clean(f.SourceDirectoryPath) {
		at.at("after_copy").refuse("the source directory itself; allowed: another directory on the server")
	}
}

// validateUpload checks the way from here to the server.
func (f Files) validateUpload(at *place) {
	source, destination := at.at("source_directory_path"), at.at("destination_directory_path")
	switch {
	case f.SourceDirectoryPath == "":
		source.fail("required; allowed: the local directory that holds the files")
	case isShare(f.SourceDirectoryPath):
		source.fail(onlyLocal)
	}
	if isShare(f.DestinationDirectoryPath) {
		destination.fail("a network address; allowed in an upload: a directory on the SFTP server")
	}
	validateRemote(f.DestinationDirectoryPath, "gets the files", destination)
	const noShare = "it is for network shares, and an upload goes to the SFTP server; remove it"
	if f.SystemUsername != "" {
		at.at("system_username").fail(noShare)
	}
	if f.SystemPassword != "" {
		at.at("system_password").fail(noShare)
	}
	to := f.AfterCopy.MoveTo
	if isShare(to) {
		at.at("after_copy").fail(onlyLocal)
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(f.SourceDirectoryPath, to)
	}
	if f.AfterCopy.Action == Move && f.SourceDirectoryPath != "" && plainPath(to) == plainPath(f.SourceDirectoryPath) {
		at.at("after_copy").refuse("the source directory itself; allowed: another local directory")
	}
}

// validateRemote checks a directory of the SFTP server.
func validateRemote(directory, purpose string, at *place) {
	switch {
	case directory == "":
		at.fail("required; allowed: the directory on the SFTP server that %s", purpose)
	case strings.HasPrefix(directory, "~"):
		at.refuse("~ is not expanded; a relative path starts at the login directory, and \".\" is that directory")
	case strings.ContainsRune(directory, 0):
		at.fail("holds a NUL character; allowed: a path")
	}
}

func validatePatterns(patterns []string, at *place) {
	for i, pattern := range patterns {
		if problem := checkPattern(pattern); problem != "" {
			at.at("["+strconv.Itoa(i)+"]").refuse("%s", problem)
		}
	}
}

// checkPattern gives what is wrong with a pattern of include or exclude, or "".
func checkPattern(pattern string) string {
	if expression, ok := strings.CutPrefix(pattern, "regex:"); ok {
		_, err := regexp.Compile(expression)
		if cause := (*syntax.Error)(nil); errors.As(err, &cause) {
			return "not a regular expression, " + string(cause.Code) + "; allowed: Go's syntax (RE2)"
		}
		if err != nil {
			return "not a regular expression; allowed: Go's syntax (RE2)"
		}
		return ""
	}
	const allowed = "; allowed: a glob such as *.csv or results/**/*.csv, or regex:EXPRESSION"
	if pattern == "" || !doublestar.ValidatePattern(pattern) {
		return "not a glob" + allowed
	}
	if !strings.Contains(pattern, "/") {
		return ""
	}
	// A / in front only says that the pattern starts at the source directory.
	for element := range strings.SplitSeq(strings.TrimPrefix(pattern, "/"), "/") {
		if element == "" || element == "." || element == ".." {
			return "matches nothing: a pattern with / is compared with the path below the source directory, as in a/b.csv" + allowed
		}
	}
	return ""
}
