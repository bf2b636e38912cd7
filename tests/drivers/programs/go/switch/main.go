// A pool of pgx's whose transactions say whose they are: users switch at random, and every row is the asking user's.
//
// The environment has libpq's PGHOST, PGPORT, PGUSER and PGDATABASE, and CONTEXTS: a JSON object from a user to their context token.
// Each user has one row in notes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const own = "SELECT owner, current_setting('app.user_id') FROM notes"

var ctx = context.Background()

func main() {
	var contexts map[string]string
	check(json.Unmarshal([]byte(os.Getenv("CONTEXTS")), &contexts))
	var users []string
	for user := range contexts {
		users = append(users, user)
	}
	pool, err := pgxpool.New(ctx, "pool_max_conns=4")
	check(err)
	defer pool.Close()
	var workers sync.WaitGroup
	for worker := range 4 {
		dice := rand.New(rand.NewSource(int64(worker)))
		workers.Go(func() {
			for range 250 {
				user := users[dice.Intn(len(users))]
				if dice.Intn(2) == 0 {
					inTransaction(pool, user, contexts[user])
				} else {
					alone(pool, user, contexts[user])
				}
				forgets(pool)
			}
		})
	}
	workers.Wait()
	fmt.Println("done")
}

// inTransaction says whose the work is in a transaction, which holds until its end.
func inTransaction(pool *pgxpool.Pool, user, token string) {
	check(pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT set_config('bulkhead.context', $1, true)", token)
		check(err)
		right(user, must(tx.Query(ctx, own)))
		right(user, must(tx.Query(ctx, own+" WHERE body <> $1", "x")))
		return nil
	}))
}

// alone says it outside of one, which holds for the next round trip: a statement that pgx prepared in one of its own would use it up.
func alone(pool *pgxpool.Pool, user, token string) {
	conn := must(pool.Acquire(ctx))
	defer conn.Release()
	_, err := conn.Exec(ctx, "SET bulkhead.context = '"+token+"'")
	check(err)
	right(user, must(conn.Query(ctx, own, pgx.QueryExecModeExec)))
}

// forgets says nothing: an error, and never the rows of whoever came before.
func forgets(pool *pgxpool.Pool) {
	conn := must(pool.Acquire(ctx))
	defer conn.Release()
	var owner, set string
	err := conn.QueryRow(ctx, own).Scan(&owner, &set)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28000" {
		panic(fmt.Sprintf("28000 expected, got %v and the row of %q", err, owner))
	}
}

func right(user string, rows pgx.Rows) {
	count := 0
	var owner, set string
	_, err := pgx.ForEachRow(rows, []any{&owner, &set}, func() error {
		count++
		if owner != user || set != user {
			return fmt.Errorf("%s sees the row of %s as %s", user, owner, set)
		}
		return nil
	})
	check(err)
	if count != 1 {
		panic(fmt.Sprintf("%s has %d rows", user, count))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}
