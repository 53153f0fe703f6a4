// Runs its arguments one after the other in one session of pgx: SQL, or "sleep SECONDS". Prints what a query
// answers, or the SQLSTATE of what failed ("lost" when there is none).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func main() {
	if err := run(context.Background()); err != nil {
		state := "lost"
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			state = refused.Code
		}
		fmt.Println(state)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	connection, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	for _, word := range os.Args[1:] {
		if seconds, found := strings.CutPrefix(word, "sleep "); found {
			pause, err := time.ParseDuration(seconds + "s")
			if err != nil {
				return err
			}
			time.Sleep(pause)
			continue
		}
		results, err := connection.PgConn().Exec(ctx, word).ReadAll()
		if err != nil {
			return err
		}
		for _, result := range results {
			for _, row := range result.Rows {
				fmt.Println(string(row[0]))
			}
		}
	}
	return nil
}
