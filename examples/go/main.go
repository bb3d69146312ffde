// Records a sample of the weather, reads it back before the main site has it, follows it there and back, asks for its
// outcome, and is refused a bad value.
//
// usage: go generate && go run . HOST:PORT [STATION]
package main

//go:generate buf generate ../../proto --template buf.gen.yaml

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsdb "example.com/record-sample/gen/opsdbv1"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: record-sample HOST:PORT [STATION]")
	}
	station := "cerro"
	if len(os.Args) > 2 {
		station = os.Args[2]
	}
	if err := run(os.Args[1], station); err != nil {
		log.Fatal(err)
	}
}

func run(address, station string) error {
	site, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer site.Close()
	writes := opsdb.NewWriteServiceClient(site)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	// The id is ours: after a lost answer the same request may be sent again, and stays one write.
	id := newID()
	sample := insert(map[string]*opsdb.Value{
		"station":    text(station),
		"sampled_at": {Kind: &opsdb.Value_TimestampValue{TimestampValue: now()}},
		"pwv_mm":     {Kind: &opsdb.Value_DoubleValue{DoubleValue: 0.42}},
	})
	if _, err := writes.Write(ctx, &opsdb.WriteRequest{WriteId: id, Mutations: sample}); err != nil {
		return err
	}
	fmt.Println("accepted", id)

	if err := read(ctx, opsdb.NewQueryServiceClient(site), station); err != nil {
		return err
	}
	if err := follow(ctx, opsdb.NewReplicationServiceClient(site), id); err != nil {
		return err
	}
	outcome, err := writes.GetWrite(ctx, &opsdb.GetWriteRequest{WriteId: id})
	if err != nil {
		return err
	}
	fmt.Println("outcome", stateName(outcome.Status.State))

	bad := insert(map[string]*opsdb.Value{"station": text(station), "sampled_at": text("yesterday-ish")})
	_, err = writes.Write(ctx, &opsdb.WriteRequest{Mutations: bad})
	reason, field := refusal(err)
	fmt.Println("refused", reason, field)
	return nil
}

func read(ctx context.Context, queries opsdb.QueryServiceClient, station string) error {
	result, err := queries.Query(ctx, &opsdb.QueryRequest{
		Table:   "weather_samples",
		Columns: []string{"station", "sampled_at", "pwv_mm"},
		Where: &opsdb.Condition{Condition: &opsdb.Condition_Comparison{Comparison: &opsdb.Comparison{
			Column: "station", Operator: opsdb.ComparisonOperator_COMPARISON_OPERATOR_EQUAL, Value: text(station),
		}}},
	})
	if err != nil {
		return err
	}
	for {
		part, err := result.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, row := range part.GetBatch().GetRows() {
			at := row.Values[1].GetTimestampValue().AsTime().Format(time.RFC3339Nano)
			fmt.Println("read", row.Values[0].GetStringValue(), at, row.Values[2].GetDoubleValue())
		}
	}
}

func follow(ctx context.Context, replication opsdb.ReplicationServiceClient, id string) error {
	events, err := replication.WatchReplication(ctx, &opsdb.WatchReplicationRequest{WriteId: id, UntilDone: true})
	if err != nil {
		return err
	}
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if write := event.GetWrite(); write != nil {
			fmt.Println("is", stateName(write.State))
		}
	}
}

func refusal(err error) (reason, field string) {
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.Reason
		case *errdetails.BadRequest:
			field = detail.FieldViolations[0].Field
		}
	}
	return reason, field
}

func insert(values map[string]*opsdb.Value) []*opsdb.Mutation {
	operation := &opsdb.Mutation_Insert{Insert: &opsdb.Insert{Values: values}}
	return []*opsdb.Mutation{{Table: "weather_samples", Operation: operation}}
}

func text(value string) *opsdb.Value {
	return &opsdb.Value{Kind: &opsdb.Value_StringValue{StringValue: value}}
}

// PostgreSQL keeps microseconds, and the service refuses what it cannot keep.
func now() *timestamppb.Timestamp {
	return timestamppb.New(time.Now().Truncate(time.Microsecond))
}

func stateName(state opsdb.WriteState) string {
	return strings.TrimPrefix(state.String(), "WRITE_STATE_")
}

// A random UUID.
func newID() string {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		log.Fatal(err)
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
