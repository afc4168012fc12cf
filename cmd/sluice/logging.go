package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// logOptions choose how much is logged, and how. Flags and keys are Flagger's, so that log pipelines go on working.
type logOptions struct {
	level, encoding string
}

func (o *logOptions) bind(fs *flag.FlagSet) {
	fs.StringVar(&o.level, "log-level", "info", "what to log at least: debug, info, warn, error, fatal or panic")
	fs.StringVar(&o.encoding, "zap-encoding", "json", "how log lines are written: json or console")
}

// logger builds the logger and makes it that of the libraries as well.
func (o logOptions) logger() (logr.Logger, error) {
	if levels := []string{"debug", "info", "warn", "error", "fatal", "panic"}; !slices.Contains(levels, o.level) {
		return logr.Logger{}, fmt.Errorf("-log-level=%q is unknown: use one of %s", o.level, strings.Join(levels, ", "))
	}
	level, err := zap.ParseAtomicLevel(o.level)
	if err != nil {
		return logr.Logger{}, fmt.Errorf("-log-level=%q: %w", o.level, err)
	}
	if o.encoding != "json" && o.encoding != "console" {
		return logr.Logger{}, fmt.Errorf("-zap-encoding=%q is unknown: use json or console", o.encoding)
	}
	built, err := zap.Config{
		Level:            level,
		Encoding:         o.encoding,
		Sampling:         &zap.SamplingConfig{Initial: 100, Thereafter: 100},
		OutputPaths:      []string{"stderr"},
		ErrorOutputPaths: []string{"stderr"},
		EncoderConfig: zapcore.EncoderConfig{
			TimeKey: "ts", LevelKey: "level", NameKey: "logger", CallerKey: "caller", MessageKey: "msg", StacktraceKey: "stacktrace",
			LineEnding:     zapcore.DefaultLineEnding,
			EncodeLevel:    zapcore.LowercaseLevelEncoder,
			EncodeTime:     zapcore.ISO8601TimeEncoder,
			EncodeDuration: zapcore.SecondsDurationEncoder,
			EncodeCaller:   zapcore.ShortCallerEncoder,
		},
	}.Build()
	if err != nil {
		return logr.Logger{}, fmt.Errorf("building the logger: %w", err)
	}
	log := zapr.NewLogger(built)
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client"))
	return log, nil
}
