package load

import (
	"encoding/json"
	"fmt"

	"github.com/shop-connect/shop-connect/internal/money"
)

const (
	productCount  = 2_000
	customerCount = 20_000
	sellerCount   = 20

	// How steeply popularity falls with rank: a few products carry the shop, customers differ less.
	productSkew  = 0.9
	customerSkew = 0.7
	sellerSkew   = 0.6
)

// category is a shelf of the shop; prices are in ten-thousandths.
type category struct {
	name      string
	low, high int64
	nouns     [12]string
}

var categories = [12]category{
	{"Kitchen", 49_900, 1_899_900, [12]string{"Kettle", "Frying Pan", "Teapot", "Chef's Knife", "Cutting Board", "Mixing Bowl", "Whisk", "Colander", "Casserole", "Toaster", "Coffee Grinder", "Rolling Pin"}},
	{"Home", 39_900, 2_499_900, [12]string{"Lantern", "Cushion", "Throw", "Mirror", "Vase", "Candle Holder", "Wall Clock", "Picture Frame", "Basket", "Doormat", "Side Table", "Bookend"}},
	{"Garden", 29_900, 1_499_900, [12]string{"Watering Can", "Trowel", "Planter", "Bird Feeder", "Hose", "Pruner", "Garden Chair", "Rake", "Solar Light", "Trellis", "Wheelbarrow", "Bulb Mix"}},
	{"Stationery", 5_900, 399_900, [12]string{"Notebook", "Fountain Pen", "Ink Bottle", "Pencil Set", "Stapler", "Ruler", "Calendar", "Envelope Pack", "Sketchbook", "Desk Lamp", "Paper Clip Box", "Planner"}},
	{"Toys", 19_900, 899_900, [12]string{"Puzzle", "Building Set", "Doll House", "Train Set", "Spinning Top", "Kite", "Board Game", "Marble Run", "Teddy Bear", "Yo-yo", "Play Dough", "Toy Car"}},
	{"Books", 39_900, 599_900, [12]string{"Novel", "Cookbook", "Atlas", "Biography", "Field Guide", "Dictionary", "Poetry Book", "Art Book", "Travel Guide", "Comic", "Children's Book", "Textbook"}},
	{"Clothing", 79_900, 1_999_900, [12]string{"Scarf", "Wool Socks", "T-shirt", "Raincoat", "Gloves", "Beanie", "Apron", "Belt", "Pyjamas", "Slippers", "Cardigan", "Jeans"}},
	{"Electronics", 99_900, 9_999_900, [12]string{"Headphones", "Keyboard", "Power Bank", "USB Cable", "Radio", "Webcam", "Speaker", "Charger", "Memory Card", "Torch", "Thermometer", "Smart Plug"}},
	{"Sports", 49_900, 2_999_900, [12]string{"Yoga Mat", "Skipping Rope", "Dumbbell", "Football", "Tennis Racket", "Swim Goggles", "Water Bottle", "Bike Light", "Backpack", "Helmet", "Climbing Chalk", "Table Tennis Set"}},
	{"Beauty", 19_900, 799_900, [12]string{"Hand Cream", "Soap Bar", "Shampoo", "Lip Balm", "Hair Brush", "Perfume", "Bath Salt", "Face Mask", "Nail File", "Shaving Kit", "Sun Lotion", "Body Oil"}},
	{"Food", 9_900, 299_900, [12]string{"Green Tea", "Coffee Beans", "Olive Oil", "Honey", "Dark Chocolate", "Sea Salt", "Pasta", "Dried Figs", "Marmalade", "Biscuits", "Spice Mix", "Almonds"}},
	{"Haberdashery", 1_200, 149_900, [12]string{"Ribbon", "Button", "Zip", "Thread", "Bias Tape", "Elastic", "Lace", "Felt Sheet", "Needle", "Cotton Fabric", "Wool Yarn", "Snap Fastener"}},
}

// 14 styles of 12 nouns in 12 categories name 2,016 products apart.
var styles = [14]string{
	"Classic", "Copper", "Oak", "Vintage", "Blue", "Ivory", "Travel", "Deluxe", "Compact", "Nordic", "Striped", "Recycled", "Giant", "Everyday",
}

// product is one article, with the parts of its purchases already rendered.
type product struct {
	idField string // "product_id":"P00001"
	prices  [4]price
}

// price is what a purchase of a product may cost: the list price or one of its discounts.
type price struct {
	units int64
	text  string
}

// shop is everything that stays the same while purchases are drawn.
type shop struct {
	products  []product
	catalog   [][]byte
	customers []int

	byProduct, byCustomer, bySeller *sampler
}

func newShop(seed uint64) (*shop, error) {
	r := newRandom(seed, 1)
	s := &shop{
		byProduct:  newSampler(zipf(productCount, productSkew)),
		byCustomer: newSampler(zipf(customerCount, customerSkew)),
		bySeller:   newSampler(zipf(sellerCount, sellerSkew)),
		customers:  shuffled(customerCount, r),
	}
	// The shuffle decides which products are the popular ones: samplers pick low indexes most.
	for _, i := range shuffled(productCount, r) {
		list := listPrice(categories[i%12], r)
		id := fmt.Sprintf("P%05d", i+1)
		s.products = append(s.products, product{
			idField: `"product_id":"` + id + `"`,
			prices: [4]price{
				newPrice(list),
				newPrice(wholeCents(list * 90 / 100)),
				newPrice(wholeCents(list * 75 / 100)),
				newPrice(max(list*875/1000, 1)),
			},
		})
		row, err := json.Marshal(catalogRow(i, id, list, r))
		if err != nil {
			return nil, fmt.Errorf("rendering product %s: %w", id, err)
		}
		s.catalog = append(s.catalog, row)
	}
	return s, nil
}

// listPrice draws low prices more often than high ones; what is sold by the piece in bulk, one
// product in ten, is priced to the ten-thousandth.
func listPrice(c category, r *random) int64 {
	u := int64(r.below(1000))
	units := c.low + (c.high-c.low)*u/1000*u/1000*u/1000
	if r.below(10) == 0 {
		return units + int64(r.below(100))
	}
	return wholeCents(units)
}

func wholeCents(units int64) int64 { return max(units/100*100, 100) }

func newPrice(units int64) price { return price{units: units, text: money.String(units)} }

// catalogEntry is one object of POST /products/bulk-s3.
type catalogEntry struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Category    string      `json:"category"`
	Price       json.Number `json:"price"`
	Stock       int64       `json:"stock"`
}

func catalogRow(i int, id string, list int64, r *random) catalogEntry {
	c := categories[i%12]
	name := styles[i/144%14] + " " + c.nouns[i/12%12]
	return catalogEntry{
		ID: id, Name: name, Category: c.name,
		Description: name + " from our " + c.name + " shelf",
		Price:       json.Number(money.String(list)),
		Stock:       int64(100 + r.below(9_900)),
	}
}
