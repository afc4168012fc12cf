module github.com/sluice-dev/sluice/e2e/tools/crds

go 1.26.7

// Nothing is built here: these modules carry the CRDs with which tests in package mesh try what is rendered.
require (
	github.com/projectcontour/contour v1.33.0
	github.com/traefik/traefik/v3 v3.7.5
	istio.io/api v1.27.1
)
