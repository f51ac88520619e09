package env

import "testing"

func TestRequireNamesEveryMissingVariableAtOnce(t *testing.T) {
	vars := map[string]string{KafkaBrokers: "127.0.0.1:9092", S3Region: ""}
	err := Require(vars, KafkaBrokers, S3Region, JWTSecret)
	if err == nil || err.Error() != "environment variables are not set: S3_REGION, JWT_SECRET" {
		t.Errorf("error is %v", err)
	}
	if err := Require(vars, KafkaBrokers); err != nil {
		t.Errorf("a variable that is set is refused: %v", err)
	}
}

func TestFromProcessTakesOnlyWhatIsSet(t *testing.T) {
	t.Setenv(KafkaBrokers, "broker:9092")
	vars := FromProcess()
	if vars[KafkaBrokers] != "broker:9092" {
		t.Errorf("%s is %q", KafkaBrokers, vars[KafkaBrokers])
	}
}
