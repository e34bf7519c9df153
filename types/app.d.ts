// What ComfyUI's /scripts/app.js gives, with the parts that the published types leave out.
import type { ComfyApp, ComfyExtension as PublishedExtension, ExtensionManager } from "@comfyorg/comfyui-frontend-types";

type DomWidgetOptions = {
  serialize?: boolean;
  hideOnZoom?: boolean;
  margin?: number;
  getValue?: () => string;
  setValue?: (value: string) => void;
  getMinHeight?: () => number;
};

type PublishedNode = Parameters<NonNullable<PublishedExtension["nodeCreated"]>>[0];

export type LGraphNode = PublishedNode & {
  onExecuted?(output: unknown): void;
  addDOMWidget(name: string, type: string, element: HTMLElement, options?: DomWidgetOptions): NonNullable<PublishedNode["widgets"]>[number];
};

export type ComfyExtension = Omit<PublishedExtension, "nodeCreated"> & {
  nodeCreated?(node: LGraphNode, app: ComfyApp): void;
};

export declare const app: Omit<ComfyApp, "extensionManager" | "registerExtension"> & {
  extensionManager: ExtensionManager & {
    workflow?: { activeWorkflow?: { changeTracker?: { checkState(): void } } };
  };
  registerExtension(extension: ComfyExtension): void;
};

declare global {
  const LiteGraph: { createNode(type: string): LGraphNode | null };
}
