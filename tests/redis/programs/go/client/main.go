// go-redis, as an application uses it. Arguments: the sidecar's port, the user, and "scripts" where the policy lets users run them. Prints
// "well" where everything behaved.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

func check(what string, seen, wanted any) {
	if !reflect.DeepEqual(seen, wanted) {
		panic(fmt.Sprintf("%s: %v, and not %v", what, seen, wanted))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func client(protocol int) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:     "127.0.0.1:" + os.Args[1],
		Username: "default+" + os.Args[2],
		Password: "anything",
		Protocol: protocol,
	})
}

func commands(ctx context.Context, it *redis.Client) {
	check("SET", must(it.Set(ctx, "k", "v", 0).Result()), "OK")
	check("GET", must(it.Get(ctx, "k").Result()), "v")
	it.HSet(ctx, "h", "a", "1", "b", "2")
	check("HGETALL", must(it.HGetAll(ctx, "h").Result()), map[string]string{"a": "1", "b": "2"})
	it.Del(ctx, "n")
	pipe := it.Pipeline()
	for range 1000 {
		pipe.Incr(ctx, "n")
	}
	done := must(pipe.Exec(ctx))
	check("pipeline", done[999].(*redis.IntCmd).Val(), int64(1000))
	_, err := it.Get(ctx, "nothing").Result()
	check("nothing", err, redis.Nil)
}

func transactions(ctx context.Context, it *redis.Client) {
	it.Set(ctx, "n", 1, 0)
	double := func(tx *redis.Tx) error {
		now := must(tx.Get(ctx, "n").Int())
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, "n", now*2, 0)
			return nil
		})
		return err
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for it.Watch(ctx, double, "n") == redis.TxFailedErr {
			}
		})
	}
	all.Wait()
	check("WATCH and EXEC", must(it.Get(ctx, "n").Int()), 16)
}

func blocking(ctx context.Context, it *redis.Client) {
	it.Del(ctx, "list")
	popped := make(chan []string)
	go func() { popped <- must(it.BLPop(ctx, 10*time.Second, "list").Result()) }()
	it.RPush(ctx, "list", "one")
	check("BLPOP", <-popped, []string{"list", "one"})
	it.Del(ctx, "st")
	it.XGroupCreateMkStream(ctx, "st", "g", "0")
	read := make(chan []redis.XStream)
	go func() {
		read <- must(it.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c", Streams: []string{"st", ">"}, Block: 10 * time.Second}).Result())
	}()
	it.XAdd(ctx, &redis.XAddArgs{Stream: "st", Values: []string{"f", "v"}})
	streams := <-read
	check("XREADGROUP", streams[0].Stream, "st")
	check("XREADGROUP", streams[0].Messages[0].Values["f"], "v")
}

func subscriptions(ctx context.Context, it *redis.Client) {
	listens := it.Subscribe(ctx, "news")
	defer listens.Close()
	must(listens.Receive(ctx))
	check("PUBLISH", must(it.Publish(ctx, "news", "hello").Result()), int64(1))
	message := <-listens.Channel()
	check("message", []string{message.Channel, message.Payload}, []string{"news", "hello"})
}

func scripts(ctx context.Context, it *redis.Client) {
	it.Del(ctx, "counted")
	count := redis.NewScript(`return redis.call("INCRBY", KEYS[1], ARGV[1])`)
	for round := range 3 {
		check("EVALSHA", must(count.Run(ctx, it, []string{"counted"}, 2).Int()), (round+1)*2)
	}
}

func main() {
	ctx := context.Background()
	for _, protocol := range []int{2, 3} {
		it := client(protocol)
		commands(ctx, it)
		transactions(ctx, it)
		blocking(ctx, it)
		subscriptions(ctx, it)
		if len(os.Args) > 3 && os.Args[3] == "scripts" {
			scripts(ctx, it)
		}
		it.Close()
	}
	fmt.Println("well")
}
