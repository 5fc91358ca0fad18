//go:build linux

package powerfs

import (
	"bufio"
	"database/sql"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// The environment that makes the test program one that uses SQLite.
const (
	sqliteDirectory   = "POWERFS_TEST_SQLITE"
	sqliteSynchronous = "POWERFS_TEST_SYNCHRONOUS"
)

// rowsOfEach is how many rows a transaction leaves.
const rowsOfEach = 5

// useSQLite checks the database in dir, prints "whole N" with the number of its last
// transaction, and then "committed N" after each that it adds, until it fails. It has
// the settings of the product's ledger, and a small write-ahead log, so that
// checkpoints are frequent.
func useSQLite(dir, synchronous string) error {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "test.db")+
		"?_pragma=journal_mode(wal)&_pragma=synchronous("+synchronous+")&_pragma=wal_autocheckpoint(20)&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	last, err := wholeUpTo(db)
	if err != nil {
		return err
	}
	fmt.Println("whole", last)
	for {
		last++
		if err := add(db, last); err != nil {
			return err
		}
		fmt.Println("committed", last)
	}
}

// wholeUpTo checks the database and tells the last of its transactions, 0 if there is
// none.
func wholeUpTo(db *sql.DB) (last int, err error) {
	var verdict string
	if err := db.QueryRow("pragma integrity_check").Scan(&verdict); err != nil {
		return 0, fmt.Errorf("integrity_check: %w", err)
	}
	if verdict != "ok" {
		return 0, fmt.Errorf("integrity_check: %s", verdict)
	}
	if _, err := db.Exec("create table if not exists t (n integer, part integer, data blob, primary key (n, part))"); err != nil {
		return 0, err
	}
	var rows int
	err = db.QueryRow("select coalesce(max(n), 0), count(*) from t").Scan(&last, &rows)
	if err == nil && rows != rowsOfEach*last {
		err = fmt.Errorf("%d rows of %d transactions", rows, last)
	}
	return last, err
}

func add(db *sql.DB, n int) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for part := range rowsOfEach {
		if _, err := tx.Exec("insert into t values (?, ?, randomblob(?))", n, part, 100*(n%20)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// sqliteUntilCut runs one life of the program with a cut in a random transaction,
// and gives the transactions that it found and that it committed.
func sqliteUntilCut(f *FS, r *rand.Rand, synchronous string) (found, committed int, err error) {
	program, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), sqliteDirectory+"="+f.mount, sqliteSynchronous+"="+synchronous)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	stuck := time.AfterFunc(time.Minute, func() { f.Cut(); cmd.Process.Kill() })
	defer stuck.Stop()
	transactions, cut := r.Intn(6), false
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		word, text, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.Atoi(text)
		switch word {
		case "whole":
			found, committed = n, n
		case "committed":
			committed = n
		default:
			if !cut {
				err = fmt.Errorf("%s", lines.Text())
			}
		}
		if transactions--; transactions <= 0 && !cut {
			cut = true
			time.AfterFunc(time.Duration(r.Intn(8000))*time.Microsecond, f.Cut)
		}
	}
	cmd.Wait()
	return found, committed, err
}

// sqliteLosses cuts the power some times and gives the first thing that is wrong.
func sqliteLosses(t *testing.T, f *FS, cuts int, synchronous string) error {
	t.Helper()
	r := rand.New(rand.NewSource(7))
	committed, total := 0, Lost{}
	for n := range cuts {
		found, now, err := sqliteUntilCut(f, r, synchronous)
		if err != nil {
			return fmt.Errorf("cut %d: %w", n, err)
		}
		if found < committed || found > committed+1 {
			return fmt.Errorf("cut %d: %d transactions committed, %d found", n, committed, found)
		}
		committed = now
		lost := f.Restore(r)
		total.Writes += lost.Writes
		total.Names += lost.Names
		total.Truncations += lost.Truncations
	}
	t.Logf("%d cuts, %d transactions, lost: %+v", cuts, committed, total)
	return nil
}

func TestSQLiteLosesNothing(t *testing.T) {
	f, _ := mounted(t)
	must(t, sqliteLosses(t, f, 100, "full"))
}

// What the test above would see if the promise were broken.
func TestSQLiteLosesWithoutSync(t *testing.T) {
	for _, c := range []struct {
		name, synchronous string
		noFsync           bool
	}{
		{"synchronous=off", "off", false},
		{"fsync does nothing", "full", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, _ := mounted(t)
			f.mu.Lock() // it is served already
			f.noFsync = c.noFsync
			f.mu.Unlock()
			err := sqliteLosses(t, f, 100, c.synchronous)
			if err == nil {
				t.Error("nothing was lost")
			}
			t.Log(err)
		})
	}
}
