package s3parquet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/plugins/batchrun"
)

const (
	fieldEntity = "entity"
	fieldFolder = "folder"
	fieldDay    = "day"
	fieldFull   = "full"
	fieldPatrol = "patrol"

	// allEntities is the name of every entity at once.
	allEntities = "all"
	// joinedEntity has a contract and no objects in RAW: its rows are made on the way to Iceberg.
	joinedEntity = "purchase_product_facts"
	// pendingPage is how many objects are read from the ledger at a time.
	pendingPage = 1000
)

func init() {
	service.MustRegisterInput("raw_pending", PendingSpec(), newPending)
}

// PendingSpec documents the input raw_pending.
func PendingSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Names the objects of RAW that are not in STAGE as they are now, from the ledger in PostgreSQL: one message per object, and then the input ends.").
		Description(`
A message is that of the input `+"`s3_parquet`"+`. The ledger has an object because the output `+"`s3_parquet`"+` registered it before it acknowledged its rows, or because a listing found it;
the processor `+"`stage_validate`"+` takes it off what is pending. One that is overwritten is pending again. What a run costs is what is new, not what there is.

Objects that others put into the bucket, by hand or with Spark, are found by listing: all of a prefix when it is first asked for and with `+"`full`"+`,
else `+"`patrol`"+` keys of it in each run, beginning where the last run ended and starting over at the end. Of a bucket with fewer keys than that, every
run sees all. Keys with a folder or name that begins with `+"`_`"+` or `+"`.`"+` are another program's work in progress, and left out.

What is registered after the input connected is for the next run. A database or store that does not answer is an error of connecting, which a
stream tries again for ever: wrap the input in `+"`batch_run`"+` to bound that.`).
		Fields(bucketFields()...).
		Fields(
			service.NewStringField(fieldPostgres).Description("The PostgreSQL database with the ledger.").Secret().Example("${POSTGRES_DSN}"),
			service.NewStringField(fieldContract).Description("Folder of the contracts, which say what entities there are.").Example("${CONTRACTS_DIR:pipelines/contracts}"),
			service.NewStringField(fieldEntity).Description("The entity whose objects are wanted: those below the folder of its name. `all` means every one.").Default(allEntities).Example("purchases"),
			service.NewStringField(fieldFolder).Description("Only keys that go on so after the entity's folder.").Default("").Example("purchase_date=2026-01-02/"),
			service.NewStringField(fieldDay).Description("Only objects in a folder of this business day, such as `purchase_date=2026-01-02/`. Empty: all.").Default("").Example("2026-01-02"),
			service.NewBoolField(fieldFull).Description("List everything, however long that takes, instead of patrolling.").Default(false),
			service.NewIntField(fieldPatrol).Description("How many keys of an entity a run looks over for objects that others wrote. 0: none, nothing is listed.").Default(1000),
			service.NewAutoRetryNacksToggleField(),
		)
}

type pendingConfig struct {
	bucket *bucket
	ledger ledger
	// scopes are an entity each.
	scopes []store.RawScope
	day    string
	folder string
	full   bool
	patrol int
}

func parsePending(conf *service.ParsedConfig) (pendingConfig, error) {
	var c pendingConfig
	var faults []error
	fault := func(name string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("field %q: %w", name, err))
		}
	}
	text := func(name string) string {
		value, err := conf.FieldString(name)
		fault(name, err)
		return value
	}
	var err error
	if c.bucket, err = bucketFromParsed(conf); err != nil {
		faults = append(faults, err)
	}
	if c.ledger, err = ledgerFromParsed(conf, true); err != nil {
		faults = append(faults, err)
	}
	c.full, err = conf.FieldBool(fieldFull)
	fault(fieldFull, err)
	c.patrol, err = conf.FieldInt(fieldPatrol)
	fault(fieldPatrol, err)
	if c.patrol < 0 {
		fault(fieldPatrol, errors.New("must be 0 or more"))
	}
	if c.day = text(fieldDay); c.day != "" {
		_, err := time.Parse(time.DateOnly, c.day)
		fault(fieldDay, err)
	}
	if c.folder = text(fieldFolder); strings.HasPrefix(c.folder, "/") {
		fault(fieldFolder, fmt.Errorf("%q must not begin with a slash", c.folder))
	}
	entities, err := entitiesOf(text(fieldContract), text(fieldEntity))
	if err != nil {
		faults = append(faults, err)
	}
	for _, entity := range entities {
		c.scopes = append(c.scopes, store.RawScope{Bucket: c.bucket.name, Entity: entity, Prefix: entity + "/" + c.folder, Day: c.day})
	}
	return c, errors.Join(faults...)
}

// entitiesOf returns the entity of a name. One that RAW does not have would move nothing and look as if all
// was well.
func entitiesOf(folder, name string) ([]string, error) {
	contracts, err := contract.LoadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", fieldContract, err)
	}
	delete(contracts, joinedEntity)
	known := slices.Sorted(maps.Keys(contracts))
	if name == allEntities {
		return known, nil
	}
	if !slices.Contains(known, name) {
		return nil, fmt.Errorf("field %q: %q is no entity of RAW; use %q or one of %s", fieldEntity, name, allEntities, strings.Join(known, ", "))
	}
	return []string{name}, nil
}

type pending struct {
	pendingConfig
	// report is that of the run that the input is of, nil where it is of none.
	report *batchrun.Report

	connected bool
	// scopes from the first on are still to be read, and page before them.
	page   []store.RawObject
	behind store.RawObject
}

var _ service.Input = (*pending)(nil)

func newPending(conf *service.ParsedConfig, mgr *service.Resources) (service.Input, error) {
	cfg, err := parsePending(conf)
	if err != nil {
		return nil, err
	}
	p := &pending{pendingConfig: cfg}
	p.report, _ = batchrun.ReportOf(mgr)
	return service.AutoRetryNacksToggled(conf, p)
}

// Connect brings the ledger up to date with what is known of the bucket otherwise.
func (p *pending) Connect(ctx context.Context) error {
	if p.connected {
		return nil
	}
	if err := p.ledger.connect(ctx); err != nil {
		return err
	}
	if p.full || p.patrol > 0 {
		if err := p.lookOver(ctx); err != nil {
			return err
		}
	}
	until, err := p.ledger.store.Now(ctx)
	if err != nil {
		return err
	}
	for i := range p.scopes {
		p.scopes[i].Until = until
	}
	if err := p.sayIfMisspelt(ctx); err != nil {
		return err
	}
	p.connected = true
	return nil
}

// sayIfMisspelt says that there is nothing where the run was told to look: it moves nothing, as one does that
// finds everything in STAGE.
func (p *pending) sayIfMisspelt(ctx context.Context) error {
	if p.report == nil || p.folder == "" && p.day == "" {
		return nil
	}
	places := make([]string, len(p.scopes))
	for i, scope := range p.scopes {
		there, err := p.ledger.store.AnyRaw(ctx, scope)
		if err != nil || there {
			return err
		}
		places[i] = "s3://" + scope.Bucket + "/" + scope.Prefix
	}
	text := "nothing lies below " + strings.Join(places, ", ")
	if p.day != "" {
		text += " in a folder of " + p.day
	}
	p.report.Say(text)
	return nil
}

func (p *pending) Read(ctx context.Context) (*service.Message, service.AckFunc, error) {
	if !p.connected {
		return nil, nil, service.ErrNotConnected
	}
	for len(p.page) == 0 {
		if len(p.scopes) == 0 {
			return nil, nil, service.ErrEndOfInput
		}
		page, err := p.ledger.store.PendingRaw(ctx, p.scopes[0], p.behind, pendingPage)
		if err != nil {
			return nil, nil, err
		}
		if p.page = page; len(page) == 0 {
			p.scopes, p.behind = p.scopes[1:], store.RawObject{}
			continue
		}
		p.behind = page[len(page)-1]
	}
	object := p.page[0]
	p.page = p.page[1:]
	msg, err := reference{object.Bucket, object.Key, object.Size, object.ETag, object.WrittenAt.UTC()}.message()
	return msg, func(context.Context, error) error { return nil }, err
}

func (p *pending) Close(context.Context) error {
	p.ledger.close()
	return nil
}
