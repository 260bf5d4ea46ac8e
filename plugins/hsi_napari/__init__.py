"""napari plugin of hsi-app: readers, writers, sample scenes, and the Restore and Spectrum docks."""
