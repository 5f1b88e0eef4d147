import type { VNode } from 'preact';
import type { ManifestDocument } from '../../../../src/protocol/documents/manifests.js';
import { get, imagePath, urlOf } from '../../api.ts';
import { imageHref, type ImageName } from '../../image-links.ts';
import { Icon } from '../../parts/icon.tsx';
import { Page, Tabs } from '../../parts/page.tsx';
import { Answered } from '../../parts/problem.tsx';
import { PullCommand } from '../../parts/pull-command.tsx';
import { useAnswer } from '../../use-answer.ts';
import { History } from './history.tsx';
import { ImageDetails } from './image-details.tsx';
import { Layers, Raw, Referrers, UsedBy } from './image-tabs.tsx';
import { Crumbs } from './tags.tsx';

interface ImageProps {
  readonly name: ImageName;
  /** A tag or digest. */
  readonly reference: string;
  readonly query: URLSearchParams;
}

/** One manifest of an image, and its content. */
export function ImageView({ name, reference, query }: ImageProps): VNode {
  const isDigest = reference.includes(':');
  const answer = useAnswer(
    (signal) => get<ManifestDocument>(`${imagePath(name.repository, name.image)}/manifest`, { reference }, signal),
    [name, reference],
  );
  const tab = query.get('tab') ?? 'overview';
  const titles: readonly (readonly [key: string, title: string])[] = [
    ['overview', 'Overview'],
    ['layers', 'Layers'],
    ['referrers', 'Referrers'],
    ...(isDigest ? [] : [['history', 'History of the tag'] as const]),
    ['raw', 'Raw'],
    ['used-by', 'Used by'],
  ];
  const tabs = titles.map(([key, title]) => ({ key, title, href: imageHref(name, { reference, tab: key }) }));
  const shown = isDigest ? `${reference.slice(0, 19)}…` : reference;
  return (
    <Page
      title={`${name.repository}/${name.image}${isDigest ? '@' : ':'}${shown}`}
      actions={<Download name={name} reference={reference} />}
      heading={
        <>
          <Crumbs name={name} isLinked />
          <span class="faint">{isDigest ? ' @ ' : ' : '}</span>
          {shown}
        </>
      }
    >
      <PullCommand name={name} reference={reference} />
      <Tabs label="Parts of the image" tabs={tabs} current={tab} />
      {tab === 'history' ? <History name={name} tag={reference} onMoved={answer.reload} /> : undefined}
      {tab === 'history' ? undefined : (
        <Answered answer={answer} what="The image could not be read">
          {(manifest) => <Tab name={name} tab={tab} manifest={manifest} />}
        </Answered>
      )}
    </Page>
  );
}

/** A link to an archive of the image, which `docker load` reads too. */
function Download({ name, reference }: Pick<ImageProps, 'name' | 'reference'>): VNode {
  return (
    <a
      class="button"
      href={urlOf(`repositories/${name.repository}/export`, { image: name.image, reference })}
      title="A tar archive: an OCI layout that docker load also reads"
      download
    >
      <Icon name="download" /> Download
    </a>
  );
}

function Tab({
  name,
  tab,
  manifest,
}: {
  readonly name: ImageName;
  readonly tab: string;
  readonly manifest: ManifestDocument;
}): VNode {
  if (tab === 'layers') return <Layers name={name} manifest={manifest} />;
  if (tab === 'referrers') return <Referrers name={name} manifest={manifest} />;
  if (tab === 'raw') return <Raw manifest={manifest} />;
  if (tab === 'used-by') return <UsedBy name={name} manifest={manifest} />;
  return <ImageDetails name={name} manifest={manifest} />;
}
