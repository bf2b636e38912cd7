// What an application does with pgx and pgxpool, each check on its own; the test reads the lines "ok NAME".
//
// The environment has libpq's PGHOST, PGPORT, PGUSER and PGDATABASE, and CONTEXTS: a JSON object from a user to their context token.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

var contexts map[string]string

// options are the start-up options that say who is calling.
func options(user string) string { return "-c bulkhead.context=" + contexts[user] }

func connect(ctx context.Context, user string) *pgx.Conn {
	config := must(pgx.ParseConfig(""))
	config.RuntimeParams["options"] = options(user)
	return must(pgx.ConnectConfig(ctx, config))
}

func main() {
	check(json.Unmarshal([]byte(os.Getenv("CONTEXTS")), &contexts))
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Second)
	defer cancel()
	for _, step := range []struct {
		name string
		run  func(context.Context)
	}{
		{"connect", connects}, {"queries", queries}, {"prepared", prepared}, {"transactions", transactions},
		{"pipeline", pipeline}, {"copy", copies}, {"listen", listens}, {"cancel", cancels}, {"errors", recovers},
		{"binary", binary}, {"big rows", bigRows}, {"pool", pool},
	} {
		step.run(ctx)
		fmt.Println("ok", step.name)
	}
}

func connects(ctx context.Context) {
	conn := connect(ctx, "alice")
	defer conn.Close(ctx)
	same(one[string](ctx, conn, "SELECT current_setting('app.user_id')"), "alice")
	check(conn.Ping(ctx))
	config := must(pgx.ParseConfig(""))
	config.RuntimeParams["options"] = "-c bulkhead.context=forged"
	_, err := pgx.ConnectConfig(ctx, config)
	code(err, "28000")
}

func queries(ctx context.Context) {
	conn := connect(ctx, "alice")
	defer conn.Close(ctx)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		rows := must(conn.Query(ctx, "SELECT id, name FROM things WHERE id <= $1 ORDER BY id", mode, 3))
		things := must(pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
			ID   int
			Name string
		}]))
		same(len(things), 3)
		same(things[2].Name, "thing 3")
	}
	results := must(conn.PgConn().Exec(ctx, "SELECT 1; SELECT 2; SELECT 3").ReadAll())
	same(len(results), 3)
}

func prepared(ctx context.Context) {
	one, two := connect(ctx, "alice"), connect(ctx, "alice")
	defer one.Close(ctx)
	defer two.Close(ctx)
	must(one.Prepare(ctx, "mine", "SELECT $1::int + 1"))
	must(two.Prepare(ctx, "mine", "SELECT $1::text || '!'"))
	for turn := range 20 {
		var number int
		check(one.QueryRow(ctx, "mine", turn).Scan(&number))
		same(number, turn+1)
		var text string
		check(two.QueryRow(ctx, "mine", fmt.Sprint(turn)).Scan(&text))
		same(text, fmt.Sprint(turn, "!"))
	}
	check(one.Deallocate(ctx, "mine"))
	_, err := one.PgConn().ExecPrepared(ctx, "mine", nil, nil, nil).Close()
	code(err, "26000")
	check(one.DeallocateAll(ctx))
}

func transactions(ctx context.Context) {
	conn := connect(ctx, "alice")
	defer conn.Close(ctx)
	before := one[int](ctx, conn, "SELECT count(*) FROM notes")
	check(pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		must(tx.Exec(ctx, "INSERT INTO notes (owner, body) VALUES ('alice', 'kept')"))
		failed := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
			must(savepoint.Exec(ctx, "INSERT INTO notes (owner, body) VALUES ('alice', 'lost')"))
			_, err := savepoint.Exec(ctx, "SELECT 1 / 0")
			return err
		})
		code(failed, "22012")
		return nil
	}))
	same(one[int](ctx, conn, "SELECT count(*) FROM notes"), before+1)
	tx := must(conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly}))
	_, err := tx.Exec(ctx, "INSERT INTO notes (owner, body) VALUES ('alice', 'read only')")
	code(err, "25006")
	check(tx.Rollback(ctx))
	same(one[int](ctx, conn, "SELECT count(*) FROM notes"), before+1)
}

func pipeline(ctx context.Context) {
	conn := connect(ctx, "alice")
	defer conn.Close(ctx)
	batch := &pgx.Batch{}
	for n := range 200 {
		batch.Queue("SELECT $1::int * 2", n)
	}
	results := conn.SendBatch(ctx, batch)
	for n := range 200 {
		var got int
		check(results.QueryRow().Scan(&got))
		same(got, n*2)
	}
	check(results.Close())

	// An error in the middle undoes the batch, and the next one is not touched by it.
	broken := &pgx.Batch{}
	broken.Queue("INSERT INTO notes (owner, body) VALUES ('alice', 'in a batch')")
	broken.Queue("SELECT 1 / $1::int", 0)
	broken.Queue("SELECT 1")
	code(conn.SendBatch(ctx, broken).Close(), "22012")
	same(one[int](ctx, conn, "SELECT count(*) FROM notes WHERE body = 'in a batch'"), 0)

	// The pipeline of the layer below: several Syncs in flight, one with an error behind it.
	pipe := conn.PgConn().StartPipeline(ctx)
	pipe.SendPrepare("piped", "SELECT $1::int", nil)
	pipe.SendQueryParams("SELECT 1 / 0", nil, nil, nil, nil)
	pipe.SendPipelineSync()
	pipe.SendQueryParams("SELECT 'after'", nil, nil, nil, nil)
	check(pipe.Sync())
	_ = must(pipe.GetResults()).(*pgconn.StatementDescription)
	var fault error
	for after := false; !after; {
		switch result, err := pipe.GetResults(); result := result.(type) {
		case *pgconn.ResultReader:
			read := result.Read()
			if read.Err != nil {
				fault = read.Err
				continue
			}
			same(string(read.Rows[0][0]), "after")
			after = true
		case *pgconn.PipelineSync:
		default:
			fault = err
		}
	}
	code(fault, "22012")
	check(pipe.Close())
}

func copies(ctx context.Context) {
	conn := connect(ctx, "alice")
	defer conn.Close(ctx)
	count := must(conn.CopyFrom(ctx, pgx.Identifier{"things"}, []string{"id", "name"},
		pgx.CopyFromSlice(5000, func(n int) ([]any, error) { return []any{10_000 + n, strings.Repeat("x", n%100)}, nil })))
	same(count, 5000)
	var out bytes.Buffer
	must(conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT id FROM things WHERE id >= 10000 ORDER BY id) TO STDOUT"))
	same(strings.Count(out.String(), "\n"), 5000)
	_, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("no number\tx\n"), "COPY things FROM STDIN")
	code(err, "22P02")
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"things"}, []string{"id"},
		pgx.CopyFromFunc(func() ([]any, error) { return nil, errors.New("given up") }))
	if err == nil {
		panic("a copy that was given up has succeeded")
	}
	must(conn.Exec(ctx, "DELETE FROM things WHERE id >= 10000"))
}

func listens(ctx context.Context) {
	listener, speaker := connect(ctx, "alice"), connect(ctx, "alice")
	defer listener.Close(ctx)
	defer speaker.Close(ctx)
	must(listener.Exec(ctx, "LISTEN news"))
	must(speaker.Exec(ctx, "SELECT pg_notify('news', $1)", "hello"))
	heard := must(listener.WaitForNotification(ctx))
	same(heard.Channel+" "+heard.Payload, "news hello")
	must(listener.Exec(ctx, "UNLISTEN *"))
	same(one[int](ctx, listener, "SELECT 1"), 1)
}

func cancels(ctx context.Context) {
	conn := connect(ctx, "alice")
	defer conn.Close(ctx)
	ended := make(chan error)
	go func() {
		_, err := conn.Exec(ctx, "SELECT pg_sleep(30)")
		ended <- err
	}()
	watcher := connect(ctx, "alice")
	defer watcher.Close(ctx)
	asleep := "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(30)'"
	for one[int](ctx, watcher, asleep) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	check(conn.PgConn().CancelRequest(ctx))
	code(<-ended, "57014")
	same(one[int](ctx, conn, "SELECT 1"), 1)
}

func recovers(ctx context.Context) {
	conn := connect(ctx, "alice")
	defer conn.Close(ctx)
	for range 3 {
		_, err := conn.Exec(ctx, "INSERT INTO things VALUES ($1, 'again')", 1)
		code(err, "23505")
		_, err = conn.Exec(ctx, "SELECT refuse()")
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Detail != "because" || refused.Hint != "ask again" {
			panic(err)
		}
		tx := must(conn.Begin(ctx))
		_, err = tx.Exec(ctx, "no SQL")
		code(err, "42601")
		_, err = tx.Exec(ctx, "SELECT 1")
		code(err, "25P02")
		check(tx.Rollback(ctx))
		_, err = conn.Exec(ctx, "INSERT INTO notes (owner, body) VALUES ('bob', 'stolen')")
		code(err, "42501")
	}
	// A column that changes its type under a cached statement.
	must(conn.Exec(ctx, "CREATE TABLE shifting (a int)"))
	must(conn.Exec(ctx, "INSERT INTO shifting VALUES (7)"))
	same(one[int](ctx, conn, "SELECT a FROM shifting"), 7)
	other := connect(ctx, "alice")
	must(other.Exec(ctx, "ALTER TABLE shifting ALTER a TYPE text"))
	other.Close(ctx)
	var text string
	code(conn.QueryRow(ctx, "SELECT a FROM shifting").Scan(&text), "0A000")
	same(one[string](ctx, conn, "SELECT a FROM shifting"), "7")
	must(conn.Exec(ctx, "DROP TABLE shifting"))
}

func binary(ctx context.Context) {
	conn := connect(ctx, "alice")
	defer conn.Close(ctx)
	bytes := make([]byte, 256)
	for n := range bytes {
		bytes[n] = byte(n)
	}
	moment := time.Date(2026, 2, 28, 23, 59, 59, 123456000, time.UTC)
	number := pgtype.Numeric{Int: big.NewInt(-1234567890123), Exp: -5, Valid: true}
	uuid := pgtype.UUID{Bytes: [16]byte{1, 2, 3, 15: 255}, Valid: true}
	list := []int32{1, -2, math.MaxInt32}
	var nothing *string
	var gotBytes []byte
	var gotMoment time.Time
	var gotNumber pgtype.Numeric
	var gotUUID pgtype.UUID
	var gotList []int32
	var gotNothing *string
	var gotFloat float64
	var gotJSON map[string]any
	var gotRange pgtype.Range[pgtype.Int4]
	check(conn.QueryRow(ctx,
		`SELECT $1::bytea, $2::timestamptz, $3::numeric, $4::uuid, $5::int[], $6::text, $7::float8, $8::jsonb, int4range(1, 5)`,
		bytes, moment, number, uuid, list, nothing, math.Inf(-1), map[string]any{"ä": []int{1}},
	).Scan(&gotBytes, &gotMoment, &gotNumber, &gotUUID, &gotList, &gotNothing, &gotFloat, &gotJSON, &gotRange))
	same(string(gotBytes), string(bytes))
	same(gotMoment.Equal(moment), true)
	same(must(gotNumber.Float64Value()), must(number.Float64Value()))
	same(gotUUID, uuid)
	same(fmt.Sprint(gotList, gotNothing == nil, gotFloat, gotJSON), fmt.Sprint(list, true, math.Inf(-1), map[string]any{"ä": []any{1.0}}))
	same(gotRange.Upper.Int32, 5)
}

func bigRows(ctx context.Context) {
	conn := connect(ctx, "alice")
	defer conn.Close(ctx)
	var long string
	check(conn.QueryRow(ctx, "SELECT repeat('long ', 4000000)").Scan(&long))
	same(len(long), 20_000_000)
	var back int
	check(conn.QueryRow(ctx, "SELECT length($1::text)", long).Scan(&back))
	same(back, len(long))
	rows := must(conn.Query(ctx, "SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n"))
	sum := 0
	var n int
	var text string
	must(pgx.ForEachRow(rows, []any{&n, &text}, func() error { sum += n; return nil }))
	same(sum, 5_000_050_000)
}

// pool gives each user a pool of their own, and all work at once: a row that anybody reads is theirs.
func pool(ctx context.Context) {
	var users sync.WaitGroup
	for user := range contexts {
		config := must(pgxpool.ParseConfig("pool_max_conns=3"))
		config.ConnConfig.RuntimeParams["options"] = options(user)
		pool := must(pgxpool.NewWithConfig(ctx, config))
		must(pool.Exec(ctx, "DELETE FROM notes"))
		for worker := range 3 {
			users.Go(func() {
				for turn := range 10 {
					check(pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
						_, err := tx.Exec(ctx, "INSERT INTO notes (owner, body) VALUES ($1, $2)", user, fmt.Sprint(worker, turn))
						return err
					}))
					rows := must(pool.Query(ctx, "SELECT owner, current_setting('app.user_id') FROM notes"))
					var owner, set string
					must(pgx.ForEachRow(rows, []any{&owner, &set}, func() error {
						same(owner, user)
						same(set, user)
						return nil
					}))
				}
			})
		}
		defer pool.Close()
		defer func() { same(one[int](ctx, pool, "SELECT count(*) FROM notes"), 30) }()
	}
	users.Wait()
}

func one[T any](ctx context.Context, conn interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, sql string) T {
	var value T
	check(conn.QueryRow(ctx, sql).Scan(&value))
	return value
}

// code holds an error to the SQLSTATE.
func code(err error, sqlstate string) {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != sqlstate {
		panic(fmt.Sprintf("%s expected, got %v", sqlstate, err))
	}
}

func same[T comparable](got, wanted T) {
	if got != wanted {
		panic(fmt.Sprintf("%v, not %v", got, wanted))
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
