// Each request has a connection of its own, which says at connect whose it is; the sidecar is the pool behind it.
//
// pgx. Each line of the input is one request's token.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// as gives work a connection on which everything is done for the user of the token.
func as(ctx context.Context, token string, work func(pgx.Tx) error) error {
	config, err := pgx.ParseConfig("") // where to: PGHOST, PGPORT, PGUSER, PGDATABASE
	if err != nil {
		return err
	}
	config.RuntimeParams["options"] = "-c bulkhead.context=" + token
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return pgx.BeginFunc(ctx, conn, work)
}

func handle(ctx context.Context, token string) (owners []string, err error) {
	err = as(ctx, token, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO notes (owner, body) VALUES (current_setting('app.user_id'), 'hello')")
		if err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, "SELECT DISTINCT owner FROM notes")
		owners, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return owners, err
}

func main() {
	var requests sync.WaitGroup
	var answers []*string
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		token, answer := lines.Text(), new(string)
		answers = append(answers, answer)
		requests.Go(func() {
			owners, err := handle(context.Background(), token)
			if err != nil {
				log.Fatal(err)
			}
			*answer = strings.Join(owners, " ")
		})
	}
	requests.Wait()
	for _, answer := range answers {
		fmt.Println(*answer)
	}
}
