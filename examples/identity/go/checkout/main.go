// Requests share a pool, and each transaction begins by saying whose it is.
//
// pgx with its own pool. Each line of the input is one request's token.
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
	"github.com/jackc/pgx/v5/pgxpool"
)

var pool *pgxpool.Pool

// as gives work a transaction in which everything is done for the user of the token.
func as(ctx context.Context, token string, work func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('bulkhead.context', $1, true)", token); err != nil {
			return err
		}
		return work(tx)
	})
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
	var err error
	if pool, err = pgxpool.New(context.Background(), "pool_max_conns=4"); err != nil { // where to: PGHOST, PGPORT, PGUSER, PGDATABASE
		log.Fatal(err)
	}
	defer pool.Close()
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
