// Writes a database for Trivy that knows the vulnerabilities that it is told of: the whole one cannot be had where tests run.
//
// Usage: trivy-db FOLDER < ADVISORIES
//
// FOLDER is what Trivy takes as its cache. ADVISORIES is a JSON list of objects with ecosystem (as Trivy calls it: pip, go,
// npm, maven), package, id, title, severity (LOW to CRITICAL), vulnerable and patched (lists of version ranges).
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/aquasecurity/trivy-db/pkg/db"
	"github.com/aquasecurity/trivy-db/pkg/metadata"
	"github.com/aquasecurity/trivy-db/pkg/types"
	bolt "go.etcd.io/bbolt"
)

var source = types.DataSource{ID: "ghsa", Name: "GitHub Security Advisory", URL: "https://github.com/advisories"}

type advisory struct {
	Ecosystem, Package, ID, Title, Severity string
	Vulnerable, Patched                     []string
}

func (a advisory) save(store db.Config, tx *bolt.Tx) error {
	severity, err := types.NewSeverity(a.Severity)
	if err != nil {
		return err
	}
	bucket := fmt.Sprintf("%s::%s", a.Ecosystem, source.Name)
	known := types.Advisory{VulnerableVersions: a.Vulnerable, PatchedVersions: a.Patched}
	detail := types.Vulnerability{Title: a.Title, VendorSeverity: types.VendorSeverity{source.ID: severity}}
	return errors.Join(
		store.PutDataSource(tx, bucket, source),
		store.PutAdvisory(tx, []string{bucket, a.Package}, a.ID, known),
		store.PutVulnerability(tx, a.ID, detail),
	)
}

func write(folder string, advisories []advisory) error {
	if err := db.Init(folder); err != nil {
		return err
	}
	defer db.Close()
	store := db.Config{}
	err := store.BatchUpdate(func(tx *bolt.Tx) error {
		for _, one := range advisories {
			if err := one.save(store, tx); err != nil {
				return fmt.Errorf("%s: %w", one.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	now := time.Now()
	return metadata.NewClient(folder).Update(metadata.Metadata{
		Version: db.SchemaVersion, UpdatedAt: now, DownloadedAt: now, NextUpdate: now.AddDate(1, 0, 0),
	})
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: trivy-db FOLDER < ADVISORIES")
	}
	var advisories []advisory
	if err := json.NewDecoder(os.Stdin).Decode(&advisories); err != nil {
		log.Fatalf("trivy-db: the advisories cannot be read: %v", err)
	}
	if err := write(filepath.Join(os.Args[1], "db"), advisories); err != nil {
		log.Fatalf("trivy-db: %v", err)
	}
}
