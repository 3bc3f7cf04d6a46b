package cli

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evergrant/evergrant/internal/app"
	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// diskKind is what a folder is kept on.
type diskKind int

const (
	diskLocal diskKind = iota
	diskNetwork
	diskMemory
)

// secrets looks at who may read the files that secrets are in.
func (d *doctor) secrets(conf *config.Config) {
	for _, f := range secretFiles(conf) {
		info, err := os.Stat(f)
		switch {
		case err != nil:
			d.fail("secrets", "correct the path, or make the file readable for this user", "%v", err)
		case info.Mode().Perm()&0o007 != 0:
			d.fail("secrets", "chmod 600 "+f, "every user of this machine may use %s (mode %04o)", f, info.Mode().Perm())
		case info.Mode().Perm()&0o070 != 0:
			d.warn("secrets", "chmod 600 "+f+", unless its group is meant", "its group may use %s (mode %04o)", f, info.Mode().Perm())
		default:
			d.ok("secrets", "%s is its owner's only", f)
		}
	}
}

// secretFiles returns the files that a configuration's secrets are in, each once.
func secretFiles(conf *config.Config) []string {
	refs := []config.Secret{conf.Storage.Postgres}
	for _, k := range conf.Encryption.Keys {
		refs = append(refs, k.Secret)
	}
	for _, a := range conf.Apps {
		refs = append(refs, a.ClientSecret...)
	}
	for _, k := range conf.APIKeys {
		refs = append(refs, k.Key)
	}
	for _, w := range conf.Events.Webhooks {
		refs = append(refs, w.SigningSecret...)
	}
	if o := conf.Dashboard.OIDC; o != nil {
		refs = append(refs, o.ClientSecret)
	}
	var files []string
	for _, r := range refs {
		if r.File != "" {
			files = append(files, r.File)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// server reports whether a server runs with this configuration.
func (d *doctor) server(conf *config.Config) bool {
	c, err := net.DialTimeout("unix", conf.Socket(), time.Second)
	if err != nil {
		d.ok("server", "none runs with this configuration")
		return false
	}
	_ = c.Close()
	d.ok("server", "one runs and answers at %s", conf.Socket())
	return true
}

// store looks at the database: whether it can be reached and written, and
// whether the master keys open it.
func (d *doctor) store(conf *config.Config) {
	const name = "store"
	if file := conf.Storage.SQLite; file != "" {
		if !d.folder(name, filepath.Dir(file), "storage.sqlite") {
			return
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			d.ok(name, "%s does not exist yet; the server makes it", file)
			return
		}
		if err := unix.Access(file, unix.W_OK); err != nil {
			d.fail(name, "run this as the server's user, or change the file's owner", "%s cannot be written: %v", file, err)
			return
		}
	}
	ctx, cancel := context.WithTimeout(d.s.ctx, storeTimeout)
	defer cancel()
	db, err := openDatabase(ctx, conf.Storage)
	if err != nil {
		d.fail(name, "see that the database is there and storage is right", "%v", err)
		return
	}
	defer db.Close()
	st, err := db.Status(ctx)
	if err != nil {
		d.fail(name, "evergrant db status", "%v", err)
		return
	}
	switch p := st.Postgres; {
	case p != nil && (p.Standby || p.ReadOnly):
		d.fail(name, "name the primary in storage.postgres", "%s is %s", databaseName(st), writable(p))
	case st.Move != nil && st.Move.From && st.Move.Ended():
		d.fail(name, "use the configuration of the database it was moved to", "%s: %s", databaseName(st), moveText(st.Move))
	case st.Schema > st.Known:
		d.fail(name, "use the newer evergrant that brought it there", "%s has schema %d; this version knows %d", databaseName(st), st.Schema, st.Known)
	case st.Schema < st.Known:
		d.warn(name, "evergrant db migrate, or start the server, which does it", "%s has schema %d and needs %d", databaseName(st), st.Schema, st.Known)
		return
	default:
		d.ok(name, "%s can be read and written", databaseName(st))
	}
	if st.Counts != nil {
		d.keys(ctx, conf, db, st)
		d.twice(db)
	}
}

// storeTimeout bounds the look into the database.
const storeTimeout = 20 * time.Second

// keys looks at the master keys and the API keys.
func (d *doctor) keys(ctx context.Context, conf *config.Config, db database, st whole.Status) {
	if st.Counts.Keys == 0 && len(conf.APIKeys) == 0 {
		d.warn("API key", "evergrant key create NAME --scope tokens", "there is none; only the admin socket lets programs in")
	} else {
		d.ok("API key", "%d in the configuration, %d in the database", len(conf.APIKeys), st.Counts.Keys)
	}
	if len(conf.Masters()) == 0 {
		return // the secrets could not be read, and that was told
	}
	rest, err := db.Rest(ctx)
	switch {
	case err != nil:
		d.fail("master key", "evergrant db check", "the data key cannot be read: %v", err)
	case rest.DataKey.Wrapped == nil:
		d.ok("master key", "%s will seal a database that is empty", conf.Masters()[0].ID)
	default:
		if _, err := seal.Open(ctx, rest.DataKey, conf.Masters()); err != nil {
			d.fail("master key", "put the key back that sealed the database", "%v", err)
			return
		}
		d.ok("master key", "%s opens the database", rest.DataKey.MasterID)
	}
}

// spool looks at the journal's folder.
func (d *doctor) spool(conf *config.Config) {
	if d.folder("spool", conf.Spool, "spool") {
		d.ok("spool", "%s can be written and is on a local disk", conf.Spool)
	}
}

// leastRoom is what a disk should have left, in bytes.
const leastRoom = 256 << 20

// folder looks at a folder that must be writable and on a local disk. If it is
// to be made yet, its parent counts.
func (d *doctor) folder(name, dir, setting string) bool {
	at := dir
	for {
		_, err := os.Stat(at)
		if err == nil {
			break
		}
		if parent := filepath.Dir(at); errors.Is(err, fs.ErrNotExist) && parent != at {
			at = parent
			continue
		}
		d.fail(name, "correct "+setting, "%v", err)
		return false
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		d.fail(name, "run this as the server's user, or change its owner or "+setting, "%s cannot be written: %v", at, err)
		return false
	}
	kind, room, err := diskOf(at)
	switch {
	case err != nil:
		d.warn(name, "see that it is on a local disk", "%s: %v", at, err)
		return false
	case kind == diskNetwork:
		d.fail(name, "move "+setting+" to a local disk", "%s is on a network file system, whose locks and syncs cannot be relied on", at)
		return false
	case kind == diskMemory:
		d.warn(name, "move "+setting+" to a disk", "%s is in memory and gone after a restart of the machine", at)
		return false
	case room < leastRoom:
		d.warn(name, "make room", "%s has %s left", at, size(int64(room)))
		return false
	}
	return true
}

// ports looks whether the listeners' addresses are free.
func (d *doctor) ports(conf *config.Config, running bool) {
	for setting, address := range map[string]string{"server.listen": conf.Server.Listen, "server.private_listen": conf.Server.PrivateListen} {
		if running {
			continue // they are the running server's
		}
		if path, ok := strings.CutPrefix(address, "unix:"); ok {
			d.folder("ports", filepath.Dir(path), setting)
			continue
		}
		l, err := app.Listen(address, setting)
		if err != nil {
			d.fail("ports", "evergrant serve uses it; stop what does now, or change "+setting, "%v", err)
			continue
		}
		_ = l.Close()
		d.ok("ports", "%s %s is free", setting, address)
	}
}
