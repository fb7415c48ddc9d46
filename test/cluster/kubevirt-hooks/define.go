package main

import (
	"encoding/xml"

	"libvirt.org/go/libvirtxml"

	v1 "kubevirt.io/api/core/v1"
	pluginv1alpha1 "kubevirt.io/api/plugin/v1alpha1"
	"kubevirt.io/kubevirt/pkg/hooks"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/api"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/converter/network"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/converter/translate"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/plugins"
)

type defined struct {
	// The domain in KubeVirt's types as the hooks were given it, and as they gave it back.
	Before *api.DomainSpec `json:"before"`
	After  *api.DomainSpec `json:"after"`
	// The text that the hooks were given, and what libvirt would be told to define.
	Given string `json:"given"`
	XML   string `json:"xml"`
	// The interfaces that KubeVirt itself generates for this VM, by alias, and the queues it gives each.
	Generated []string `json:"generated"`
	Queues    uint32   `json:"queues"`
}

// define does what virt-launcher does with a generated domain: bindings' sidecars first, then plugins. Its own
// functions for that cannot be built without libvirt: SetDomainSpecStrWithHooks in virtwrap/util/libvirt_helper.go,
// and for the target of a migration prepareMigrationTarget, which forgets what the sidecars have answered.
func define(manager hooks.Manager, one *step) (*defined, error) {
	generated, err := listGenerated(one.VMI)
	if err != nil {
		return nil, err
	}
	spec, err := read(one.Domain)
	if err != nil {
		return nil, err
	}
	before, given, err := passThrough(spec, one)
	if err != nil {
		return nil, err
	}
	text, err := manager.OnDefineDomain(spec, one.VMI)
	if err != nil {
		return nil, err
	}
	after := spec
	if !isTarget(one) {
		if after, err = parse(text); err != nil {
			return nil, err
		}
	}
	if len(one.Plugins) > 0 {
		after, text, err = plugins.ApplyDomainHooks(one.Plugins, one.VMI, after, one.Context)
		if err != nil {
			return nil, err
		}
	}
	return &defined{
		Before:    before,
		After:     after,
		Given:     given,
		XML:       text,
		Generated: generated,
		Queues:    network.NetworkQueuesCapacity(one.VMI),
	}, nil
}

// read keeps <qemu:commandline>, which KubeVirt's types write and do not read.
func read(text string) (*api.DomainSpec, error) {
	domain := &libvirtxml.Domain{}
	if err := domain.Unmarshal(text); err != nil {
		return nil, err
	}
	return translate.FromLibvirtDomain(domain)
}

func parse(text string) (*api.DomainSpec, error) {
	spec := &api.DomainSpec{}
	return spec, xml.Unmarshal([]byte(text), spec)
}

func isTarget(one *step) bool {
	return one.Context == pluginv1alpha1.InvocationContextMigrationTarget
}

// passThrough does to a domain what is done to it around the hooks, without any hook.
func passThrough(spec *api.DomainSpec, one *step) (*api.DomainSpec, string, error) {
	text, err := xml.MarshalIndent(spec, "", "\t")
	if err != nil {
		return nil, "", err
	}
	seen := spec
	if !isTarget(one) {
		if seen, err = parse(string(text)); err != nil {
			return nil, "", err
		}
	}
	if len(one.Plugins) == 0 {
		return seen, string(text), nil
	}
	domain, err := translate.ToLibvirtDomain(seen)
	if err != nil {
		return nil, "", err
	}
	printed, err := domain.Marshal()
	if err != nil {
		return nil, "", err
	}
	seen, err = translate.FromLibvirtDomain(domain)
	return seen, printed, err
}

func listGenerated(vmi *v1.VirtualMachineInstance) ([]string, error) {
	// What KubeVirt's controller says of each interface: its own bindings are taps, and ours is registered without
	// a domainAttachmentType.
	attachments := map[string]string{}
	for _, iface := range vmi.Spec.Domain.Devices.Interfaces {
		if iface.Binding == nil && iface.SRIOV == nil {
			attachments[iface.Name] = string(v1.Tap)
		}
	}
	domain := &api.Domain{}
	configurator := network.NewDomainConfigurator(network.WithDomainAttachmentByInterfaceName(attachments))
	if err := configurator.Configure(vmi, domain); err != nil {
		return nil, err
	}
	aliases := []string{}
	for _, iface := range domain.Spec.Devices.Interfaces {
		// The prefix that every alias of a user's gets in a document, virtwrap/api/schema.go.
		aliases = append(aliases, api.UserAliasPrefix+iface.Alias.GetName())
	}
	return aliases, nil
}
