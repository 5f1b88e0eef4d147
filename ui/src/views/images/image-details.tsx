import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ConfigDocument, ManifestDocument, TextsDocument } from '../../../../src/protocol/documents/manifests.js';
import { isSecretName, parseEnvironment } from './environment.ts';
import { imageHref, type ImageName } from '../../image-links.ts';
import { isolate } from '../../parts/isolate.tsx';
import { Facts, Section } from '../../parts/page.tsx';
import { Table } from '../../parts/table.tsx';
import { Bytes, Digest, When } from '../../parts/texts.tsx';

interface DetailProps {
  readonly name: ImageName;
  readonly manifest: ManifestDocument;
}

/** The details of an image: its manifest, platforms, config, labels and annotations. */
export function ImageDetails({ name, manifest }: DetailProps): VNode {
  const { config } = manifest;
  return (
    <>
      <Facts
        facts={[
          ['Digest', <Digest key="digest" value={manifest.digest} />],
          ['Type', manifest.artifact_type ?? manifest.type],
          ['Media type', manifest.media_type],
          ['Size', <Bytes key="size" value={manifest.size_bytes} />],
          ['Pushed', <When key="pushed" at={manifest.pushed_at} />],
          ['Tags', linksOf(name, manifest.tags)],
          ['Refers to', manifest.subject && <Reference key="subject" name={name} digest={manifest.subject} />],
          ['Signed', signatureOf(manifest)],
        ]}
      />
      <Platforms name={name} manifest={manifest} />
      {config === undefined ? undefined : <Config config={config} />}
      <Texts title="Annotations" texts={manifest.annotations} />
    </>
  );
}

/** Links a digest to its view. */
export function Reference({ name, digest }: { readonly name: ImageName; readonly digest: string }): VNode {
  return <Digest value={digest} href={imageHref(name, { reference: digest })} />;
}

function linksOf(name: ImageName, tags: readonly string[]): ComponentChildren {
  return tags.map((tag, index) => [
    index === 0 ? '' : ', ',
    <a key={tag} href={imageHref(name, { reference: tag })}>
      {tag}
    </a>,
  ]);
}

const signatureTypes: readonly (readonly [type: string, name: string])[] = [
  ['application/vnd.cncf.notary.signature', 'notation'],
  ['application/vnd.dev.cosign.artifact.sig.v1+json', 'cosign'],
  ['application/vnd.dev.sigstore.bundle.v0.3+json', 'cosign'],
];

function signatureOf({ referrers }: ManifestDocument): string | undefined {
  const names = referrers.flatMap(({ artifact_type: type, tag }) => {
    if (tag?.endsWith('.sig') === true) return ['cosign'];
    return signatureTypes.filter(([known]) => known === type).map(([, name]) => name);
  });
  const found = [...new Set(names)];
  return found.length === 0 ? undefined : `${found.join(', ')} (the registry does not verify signatures)`;
}

function Platforms({ name, manifest }: DetailProps): VNode | null {
  // The platform of an image is in its config.
  if (manifest.type !== 'index' || manifest.platforms.length === 0) return null;
  return (
    <Section title="Platforms">
      <Table
        caption="Platforms"
        rows={manifest.platforms}
        keyOf={({ digest }) => digest}
        columns={[
          {
            key: 'platform',
            title: 'Platform',
            cell: ({ platform, digest, stored }) =>
              stored ? <a href={imageHref(name, { reference: digest })}>{platform}</a> : platform,
          },
          { key: 'digest', title: 'Digest', isWide: true, cell: ({ digest }) => <Digest value={digest} /> },
          {
            key: 'size',
            title: 'Size',
            isNumber: true,
            cell: ({ size_bytes: size, stored }) => (stored ? <Bytes value={size} /> : 'not stored here'),
          },
          {
            key: 'attestations',
            title: 'Attestations',
            isWide: true,
            cell: ({ digest }) => attestationsOf(name, manifest, digest),
          },
        ]}
      />
    </Section>
  );
}

function attestationsOf(name: ImageName, { attestations }: ManifestDocument, about: string): ComponentChildren {
  const found = attestations.filter((one) => one.about === about);
  return found.map(({ digest, predicate_types: types }) => (
    <a key={digest} href={imageHref(name, { reference: digest })}>
      {types.length === 0 ? 'attestation' : types.map(shortType).join(', ')}
    </a>
  ));
}

/** `https://slsa.dev/provenance/v0.2` → `provenance`, `https://spdx.dev/Document` → `SBOM (SPDX)`. */
function shortType(type: string): string {
  if (/spdx/i.test(type)) return 'SBOM (SPDX)';
  if (/cyclonedx/i.test(type)) return 'SBOM (CycloneDX)';
  return /provenance/i.test(type) ? 'provenance' : type;
}

function Config({ config }: { readonly config: ConfigDocument }): VNode {
  return (
    <>
      <Section title="Config">
        <Facts
          facts={[
            ['Created', config.created && <When key="created" at={config.created} />],
            ['Author', config.author],
            ['Platform', config.platform],
            ['Entrypoint', commandOf(config.entrypoint)],
            ['Command', commandOf(config.cmd)],
            ['User', config.user],
            ['Working directory', config.working_dir && <code key="dir">{config.working_dir}</code>],
            ['Ports', config.exposed_ports?.join(', ')],
            ['Volumes', config.volumes?.join(', ')],
            ['Stop signal', config.stop_signal],
          ]}
        />
      </Section>
      <Environment env={config.env ?? []} />
      <Texts title="Labels" texts={config.labels ?? {}} />
    </>
  );
}

function commandOf(words: readonly string[] | undefined): ComponentChildren {
  return words === undefined || words.length === 0 ? undefined : <code>{isolate(JSON.stringify(words))}</code>;
}

/** Variables whose names look like those of secrets are shown only on request: screens are shared. */
function Environment({ env }: { readonly env: readonly string[] }): VNode | null {
  const [isShown, setShown] = useState(false);
  if (env.length === 0) return null;
  const variables = parseEnvironment(env);
  const hasSecret = variables.some(([name]) => isSecretName(name));
  const shown = variables.map(([name, value]): readonly [string, ComponentChildren] => [
    name,
    isSecretName(name) && !isShown ? <span class="faint">hidden</span> : <code>{isolate(value)}</code>,
  ]);
  return (
    <Section
      title="Environment"
      actions={
        hasSecret ? (
          <button type="button" onClick={() => setShown(!isShown)}>
            {isShown ? 'Hide secrets' : 'Show secrets'}
          </button>
        ) : undefined
      }
    >
      <Facts facts={shown} />
    </Section>
  );
}

function Texts({ title, texts }: { readonly title: string; readonly texts: TextsDocument }): VNode | null {
  const entries = Object.entries(texts);
  if (entries.length === 0) return null;
  return (
    <Section title={title}>
      <Facts facts={entries} />
    </Section>
  );
}
